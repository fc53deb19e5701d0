"""What the trained models answer beside the main table, a function and a command-line name for each question."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comparison.arms import arm, left_out, single_with_few
from comparison.cross_annotation import cross_annotation
from comparison.data import COLLECTION_ID, MEMBERS, Workplace
from comparison.modality import wrong_modality
from comparison.running import Training
from comparison.scoring import by_member, scores_of
from comparison.splits import Reduction, add_folds
from hermes_nnunet.files import write_json, written_beside

FEW_LABELS_MEMBER = "CardiacCine"
FEW_CASES = (4, 8)
FORMAT_VERSION = 1


def synergy(workplace: Workplace, batches: int, device: str, results: Path) -> None:
    """Does a member's Dice change when another member is left out of the training?"""
    reductions = reductions_of_collection(workplace)
    dice = {"all": _dice(arm("hermes", batches=batches), workplace, device)}
    names = [workplace.member_name(number) for number in MEMBERS]
    for member in names:
        trainings = left_out(reductions, Reduction(member, 0), batches=batches)
        dice[member] = _dice(trainings, workplace, device)
    _write(results / "synergy.json", synergy.__doc__, batches, dice)
    change = np.array([[dice["all"][own] - dice[left].get(own, np.nan) for own in names] for left in names])
    _draw_synergy(change, names, results / "synergy.png")


def few_labels(workplace: Workplace, batches: int, device: str, results: Path) -> None:
    """How good are a single model and Hermes on a member that has only few training cases?"""
    reductions = reductions_of_collection(workplace)
    own = [Reduction(FEW_LABELS_MEMBER, cases) for cases in FEW_CASES]
    own_folder = workplace.preprocessed(workplace.number_of(FEW_LABELS_MEMBER))
    add_folds(own_folder / "splits_final.json", own, of_collection=False)
    dice: dict[str, dict[str, float]] = {"single": {}, "hermes": {}}
    for reduction in own:
        trainings = {
            "single": single_with_few(own, reduction, workplace, batches=batches),
            "hermes": left_out(reductions, reduction, batches=batches),
        }
        for name, few in trainings.items():
            dice[name][str(reduction.cases)] = _dice(few, workplace, device)[FEW_LABELS_MEMBER]
    for name, arm_name in (("single", "singles"), ("hermes", "hermes")):
        dice[name]["all"] = _dice(arm(arm_name, batches=batches), workplace, device)[FEW_LABELS_MEMBER]
    _write(results / "few_labels.json", few_labels.__doc__, batches, dice)
    _draw_few_labels(dice, results / "few_labels.png")


QUESTIONS: dict[str, Callable[[Workplace, int, str, Path], None]] = {
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


def _dice(trainings: Sequence[Training], workplace: Workplace, device: str) -> dict[str, float]:
    for training in trainings:
        training.run(workplace, device)
    return {member: dice for member, (dice, _) in by_member(scores_of(trainings, workplace)).items()}


def _write(path: Path, question: str | None, batches: int, dice: dict[str, Any]) -> None:
    content = {"format_version": FORMAT_VERSION, "question": question, "batches_per_member": batches, "dice": dice}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(content, path)


def _draw_synergy(change: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Change of Dice (left-out member, judged member); nan on the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(change, cmap="RdBu", vmin=-0.2, vmax=0.2)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="judged on", ylabel="member that joins the training")
    for (row, column), value in np.ndenumerate(change):
        if not np.isnan(value):
            axes.text(column, row, f"{value:+.3f}", ha="center", va="center")
    figure.colorbar(picture, label="gain of Dice")
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _draw_few_labels(dice: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, label in (("single", "nnU-Net, this member only"), ("hermes", "Hermes, with the other members")):
        axes.plot(list(dice[name]), list(dice[name].values()), marker="o", label=label)
    axes.set(xlabel=f"training cases of {FEW_LABELS_MEMBER}", ylabel="mean Dice on held-out cases", ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
