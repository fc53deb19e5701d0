"""Is one model right about everything at once: what is there, and what cannot be there?

Trains Hermes on the members 301 to 304 as benchmarks/accuracy.py does, with and without tasks of other members in a
case's context, and with the merge told that images of one region of the body show nothing of the other (`absent:`); and
the masked merge, which has no priors. Then segments the held-out cases of a fold with several contexts: every task
alone, in its member's context, in the union of what its modality has, and in the union of all; and with the tasks of
members of other modalities, of which an image shows nothing.

A killed run goes on where it was. Rows of other folds, seeds and sizes in results/everything.json stay.

    python benchmarks/everything.py ../shared/data/raw FOLDER
    python benchmarks/everything.py ../shared/data/raw FOLDER --fold 1 --seed 1 --arms exclusion absence
"""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.contexts import ContextModel, reference_masks
from comparison.data import MEMBERS, Workplace
from comparison.rows import add_row, identity, read_rows
from comparison.running import Training
from comparison.scoring import dice, hd95
from comparison.views import held_out_cases, image_of
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from tqdm import tqdm

from hermes_nnunet.collection import Collection, Context
from hermes_nnunet.core.dice import mean_of_defined

# Contexts in which a task is scored.
ALONE, OWN, MODALITY, ALL = "alone", "its member's", "its modality's", "all"
# Masks that cannot be right: tasks of another modality's member in that member's context, and in that of all tasks.
ASKED, AMONG_ALL = "asked for", "among all"
ARMS = {
    "no extra tasks": ("hermes", {"extra_tasks": 0}),
    "exclusion": ("hermes", {}),
    "absence": ("hermes", {}),
    "masked": ("masked", {"extra_tasks": 0}),
}
ABSENCE = "absence"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and measure what is missing, then print and write the table."""
    options = _parser().parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    result = options.results / "everything.json"
    for name in options.arms:
        folder = options.folder.resolve() / ("absence_told" if name == ABSENCE else "as_merged")
        workplace = Workplace(folder, options.commands, size_name=options.size)
        workplace.link_members(options.source)
        workplace.prepare_collection(absent=name == ABSENCE)
        training = _training(name, options)
        training.run(workplace, options.device)
        add_row(result, row(name, training, workplace, options), __doc__)
    show(read_rows(result))


def row(name: str, training: Training, workplace: Workplace, options: argparse.Namespace) -> dict[str, Any]:
    """The result of an arm: scores of every task by context, and what was found that cannot be there."""
    # where nnU-Net finds the comparison's trainers
    os.environ["nnUNet_extTrainer"] = workplace.environment["nnUNet_extTrainer"]
    model = ContextModel(training.fold_folder(workplace).parent, training.fold, options.device, options.tile_step)
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    false: dict[tuple[str, str], list[tuple[float, int]]] = {}
    seconds: dict[str, list[float]] = {}
    for number, modality in MEMBERS.items():
        cases = held_out_cases(workplace, number, options.cases, training.fold)
        for place, case in enumerate(tqdm(cases, desc=f"{name}, {number}", unit="case")):
            member = workplace.member_name(number)
            contexts = contexts_of(member, modality, model.collection, alone=place < options.alone)
            truth = reference_masks(workplace, number, case, model.collection)
            image = image_of(workplace, number, case)
            spacing = nibabel.load(image).header.get_zooms()[:3]
            for context, found in model.segment(image, contexts):
                kind, _, of = context.partition(":")
                if kind in (OWN, MODALITY, ALL) and not of:
                    seconds.setdefault(f"{member}, {kind}", []).append(found.seconds)
                for task, mask in found.masks.items():
                    if task in truth and kind != ASKED:
                        scores.setdefault((task, kind), []).append(
                            (dice(mask, truth[task]), hd95(mask, truth[task], spacing))
                        )
                    elif kind in (ASKED, ALL) and modality not in _modalities(task, model.collection):
                        seen = ASKED if kind == ASKED else AMONG_ALL
                        false.setdefault((f"{task} in {modality}", seen), []).append(_size(mask, spacing))
    return {
        **identity(name, training, workplace, options.batches),
        "cases_per_member": options.cases,
        "cases_alone": options.alone,
        "tile_step": options.tile_step,
        "scores": _nested(scores, ("dice", "hd95_mm")),
        "cannot_be_there": _nested(false, ("ml", "pieces")),
        "seconds_a_case": {key: round(mean_of_defined(own), 2) for key, own in seconds.items()},
    }


def contexts_of(member: str, modality: str, collection: Collection, *, alone: bool) -> dict[str, Context]:
    """The contexts with which a case of a member is segmented; "asked for:NAME" is that of a member elsewhere."""
    own = collection.members[member].tasks
    of_modality = _tasks(collection, lambda modalities: modality in modalities)
    contexts = {OWN: own, MODALITY: of_modality, ALL: collection.task_names}
    if alone:
        contexts |= {f"{ALONE}:{task}": (task,) for task in own}
    contexts |= {
        f"{ASKED}:{other.name}": other.tasks
        for other in collection.members.values()
        if modality not in other.modalities
    }
    return {name: Context(tasks, modality) for name, tasks in contexts.items()}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print Dice of every task by context, and ml of what cannot be there, a column an arm."""
    console = Console(width=max(160, Console().width))
    names = [f"{row['arm']}\nfold {row['fold']}, seed {row['seed']}" for row in rows]
    scores = Table("task", "context", *names, title="Dice on held-out cases")
    for task in dict.fromkeys(task for row in rows for task in row["scores"]):
        for context in (ALONE, OWN, MODALITY, ALL):
            scores.add_row(task, context, *(_shown(row["scores"].get(task, {}), context, "dice", 3) for row in rows))
    console.print(scores)
    false = Table("task", "context", *names, title="ml a case of what cannot be there")
    for task in dict.fromkeys(task for row in rows for task in row["cannot_be_there"]):
        for context in (ASKED, AMONG_ALL):
            cells = (_shown(row["cannot_be_there"].get(task, {}), context, "ml", 1) for row in rows)
            false.add_row(task, context, *cells)
    console.print(false)
    times = Table("member, context", *names, title="seconds a case")
    for key in dict.fromkeys(key for row in rows for key in row["seconds_a_case"]):
        times.add_row(key, *(str(row["seconds_a_case"].get(key, "")) for row in rows))
    console.print(times)


def _training(name: str, options: argparse.Namespace) -> Training:
    of_arm, changes = ARMS[name]
    (training,) = arm(of_arm, batches=options.batches, fold=options.fold, seed=options.seed)
    recipe = replace(training.recipe, **changes)
    return replace(training, name=f"{training.name}_{name.replace(' ', '_')}", recipe=recipe)


def _tasks(collection: Collection, wanted: Any) -> tuple[str, ...]:
    return tuple(task for task in collection.task_names if wanted(_modalities(task, collection)))


def _modalities(task: str, collection: Collection) -> set[str]:
    return {
        modality for member in collection.members.values() if task in member.tasks for modality in member.modalities
    }


def _size(mask: np.ndarray, spacing: Sequence[float]) -> tuple[float, int]:
    """Volume in ml, and number of connected pieces."""
    return float(mask.sum() * math.prod(spacing) / 1000), int(ndimage.label(mask)[1])


def _nested(pairs: dict[tuple[str, str], list[tuple[float, Any]]], names: tuple[str, str]) -> dict[str, Any]:
    """task -> context -> mean of both numbers over the cases, and how many these are."""
    nested: dict[str, Any] = {}
    for (task, context), own in pairs.items():
        first, second = (mean_of_defined(numbers) for numbers in zip(*own, strict=True))
        entry = {
            name: None if math.isnan(mean) else round(mean, 4)
            for name, mean in zip(names, (first, second), strict=True)
        }
        nested.setdefault(task, {})[context] = {**entry, "cases": len(own)}
    return nested


def _shown(contexts: dict[str, Any], context: str, what: str, digits: int) -> str:
    value = contexts.get(context, {}).get(what)
    return "" if value is None else f"{value:.{digits}f}"


def _parser() -> argparse.ArgumentParser:
    made = comparison_parser(__doc__)
    made.add_argument("--arms", nargs="+", default=tuple(ARMS), choices=ARMS)
    made.add_argument("--cases", type=int, default=100, help="held-out cases of each member (default: all)")
    made.add_argument(
        "--alone", type=int, default=2, help="of them segmented a task at a time too (default: %(default)s)"
    )
    made.add_argument("--tile-step", type=float, default=0.5, help="of the sliding window (default: %(default)s)")
    return made


if __name__ == "__main__":
    main()
