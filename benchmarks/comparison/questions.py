"""What the trained models answer beside the main table, a function and a command-line name for each question."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comparison.arms import arm, left_out, single_with_few
from comparison.cross_annotation import cross_annotation
from comparison.data import COLLECTION_ID, MEMBERS, Workplace
from comparison.modality import wrong_modality
from comparison.running import Conditions, Training
from comparison.scoring import by_member, scores_of
from comparison.splits import Reduction, add_folds
from hermes_nnunet.core.files import read_json, write_json, written_beside

FEW_LABELS_MEMBER = "CardiacCine"
FEW_CASES = (4, 8)
FORMAT_VERSION = 2


def synergy(workplace: Workplace, conditions: Conditions, results: Path) -> None:
    """Does a member's Dice change when another member is left out of the training?"""
    reductions = reductions_of_collection(workplace)
    (whole,) = arm("hermes", batches=conditions.batches, seed=conditions.seed)
    dice = {"all": _dice(whole, workplace, conditions)}
    names = [workplace.member_name(number) for number in MEMBERS]
    for member in names:
        dice[member] = _dice(left_out(reductions, Reduction(member, 0), conditions), workplace, conditions)
    seeds = add_seed(results / "synergy.json", synergy.__doc__, conditions, dice)
    _draw_synergy(np.array([gains(own, names) for own in seeds]), names, results / "synergy.png")


def few_labels(workplace: Workplace, conditions: Conditions, results: Path) -> None:
    """How good are a single model and Hermes on a member that has only few training cases?"""
    reductions = reductions_of_collection(workplace)
    own = [Reduction(FEW_LABELS_MEMBER, cases) for cases in FEW_CASES]
    number = workplace.number_of(FEW_LABELS_MEMBER)
    add_folds(workplace.preprocessed(number) / "splits_final.json", own, of_collection=False)
    size = {"batches": conditions.batches, "seed": conditions.seed}
    trainings = {
        "single": {str(few.cases): single_with_few(own, few, workplace, conditions) for few in own},
        "hermes": {str(few.cases): left_out(reductions, few, conditions) for few in own},
    }
    (trainings["single"]["all"],) = (training for training in arm("singles", **size) if training.dataset == number)
    (trainings["hermes"]["all"],) = arm("hermes", **size)
    dice = {
        name: {cases: _dice(training, workplace, conditions)[FEW_LABELS_MEMBER] for cases, training in of_arm.items()}
        for name, of_arm in trainings.items()
    }
    seeds = add_seed(results / "few_labels.json", few_labels.__doc__, conditions, dice)
    _draw_few_labels(seeds, results / "few_labels.png")


QUESTIONS: dict[str, Callable[[Workplace, Conditions, Path], None]] = {
    "synergy": synergy,
    "few_labels": few_labels,
    "cross_annotation": cross_annotation,
    "wrong_modality": wrong_modality,
}


def reductions_of_collection(workplace: Workplace) -> list[Reduction]:
    """All reductions that the questions need, written behind the collection's own folds."""
    reductions = [Reduction(workplace.member_name(number), 0) for number in MEMBERS]
    reductions += [Reduction(FEW_LABELS_MEMBER, cases) for cases in FEW_CASES]
    add_folds(workplace.preprocessed(COLLECTION_ID) / "splits_final.json", reductions, of_collection=True)
    return reductions


def gains(dice: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """What each member (column) gains when another (row) joins the training; nan on the diagonal.

    Args:
        dice: of the members, by the member that was left out or "all".
    """
    return np.array([[dice["all"][own] - dice[left].get(own, np.nan) for own in names] for left in names])


def add_seed(path: Path, question: str | None, conditions: Conditions, dice: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a result beside those of the same size with other seeds; returns all of them."""
    seeds = {str(conditions.seed): dice}
    if path.is_file():
        there = read_json(path, "delete it")
        if (there["format_version"], there["batches_per_member"]) == (FORMAT_VERSION, conditions.batches):
            seeds = {**there["seeds"], **seeds}
    content = {
        "format_version": FORMAT_VERSION,
        "question": question,
        "batches_per_member": conditions.batches,
        "seeds": dict(sorted(seeds.items())),
    }
    write_json(content, path)
    return list(seeds.values())


def _dice(training: Training, workplace: Workplace, conditions: Conditions) -> dict[str, float]:
    training.run(workplace, conditions.device)
    return {member: round(dice, 4) for member, (dice, _) in by_member(scores_of([training], workplace)).items()}


def _draw_synergy(change: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Change of Dice (seed, left-out member, judged member); nan on the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    mean = change.mean(axis=0)
    picture = axes.imshow(mean, cmap="RdBu", vmin=-0.2, vmax=0.2)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="judged on", ylabel="member that joins the training")
    for (row, column), value in np.ndenumerate(mean):
        if not np.isnan(value):
            own = "\n".join(map(_signed, change[:, row, column])) if len(change) > 1 else ""
            axes.text(column, row, _signed(value), ha="center", va="bottom" if own else "center")
            axes.text(column, row, own, ha="center", va="top", size="x-small")
    figure.colorbar(picture, label="gain of Dice")
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _signed(value: float) -> str:
    """Without the sign of a zero that was negative before it was rounded."""
    return f"{round(float(value), 3) + 0:+.3f}"


def _draw_few_labels(seeds: Sequence[dict[str, dict[str, float]]], path: Path) -> None:
    """A line through the means over the seeds, and a point a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, label in (("single", "nnU-Net, this member only"), ("hermes", "Hermes, with the other members")):
        cases = list(seeds[0][name])
        dice = np.array([list(own[name].values()) for own in seeds])
        (line,) = axes.plot(cases, dice.mean(axis=0), marker="o", label=label)
        if len(dice) > 1:
            for own in dice:
                axes.plot(cases, own, linestyle="", marker=".", color=line.get_color(), alpha=0.5)
    axes.set(xlabel=f"training cases of {FEW_LABELS_MEMBER}", ylabel="mean Dice on held-out cases", ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
