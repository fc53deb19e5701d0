"""What does an image lose whose modality nobody says, and what does it cost to train for it?

Trains Hermes as benchmarks/accuracy.py does: 'always told' the modality, and with 'a tenth unknown', a share of the
training patches that are told to be of unknown modality, with the default rule of intensities. The held-out cases are
then segmented with their modality told, and told to be unknown.

A killed run goes on where it was. Rows of other folds, seeds and sizes in results/unknown_modality.json stay.

    python benchmarks/unknown_modality.py ../shared/data/raw FOLDER --size "6 mm" --batches 1000
    python benchmarks/unknown_modality.py ../shared/data/raw FOLDER --size "6 mm" --batches 1000 --seed 1
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.contexts import ContextModel, reference_masks
from comparison.data import MEMBERS, Workplace
from comparison.rows import add_row, identity, read_rows, size_of
from comparison.running import Training
from comparison.scoring import dice
from comparison.views import held_out_cases, image_of
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from hermes_nnunet.collection import UNKNOWN_MODALITY, Context
from hermes_nnunet.core.dice import mean_of_defined

COLLECTION = 910
# Share of the training patches of each arm that are told to be of unknown modality.
ARMS = {"always told": 0.0, "a tenth unknown": 0.1}
TOLD = "told"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and measure what is missing, then print and write the table."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--arms", nargs="*", default=tuple(ARMS), choices=ARMS)
    parser.add_argument("--cases", type=int, default=100, help="held-out cases of each member (default: all)")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    result = options.results / "unknown_modality.json"
    workplace = Workplace(options.folder.resolve(), options.commands, size_name=options.size)
    workplace.link_members(options.source)
    workplace.prepare_collection(number=COLLECTION, unknown_copies=True)
    for name in options.arms:
        training = training_of(name, options.batches, options.fold, options.seed)
        training.run(workplace, options.device)
        add_row(result, row(name, training, workplace, options), __doc__)
    show(read_rows(result))


def training_of(name: str, batches: int, fold: int, seed: int) -> Training:
    """The training of an arm: Hermes with as many patches as in the comparison."""
    (whole,) = arm("hermes", batches=batches, fold=fold, seed=seed)
    recipe = replace(whole.recipe, unknown_modality_share=ARMS[name])
    return replace(whole, name=f"{whole.name}_{name.replace(' ', '_')}", dataset=COLLECTION, recipe=recipe)


def row(name: str, training: Training, workplace: Workplace, options: argparse.Namespace) -> dict[str, Any]:
    """The result of an arm: Dice of every member's held-out cases by what the network is told of the modality."""
    # where nnU-Net finds the comparison's trainers
    os.environ["nnUNet_extTrainer"] = workplace.environment["nnUNet_extTrainer"]
    model = ContextModel(training.fold_folder(workplace).parent, training.fold, options.device)
    members: dict[str, dict[str, float]] = {}
    for number, modality in MEMBERS.items():
        member = workplace.member_name(number)
        own = model.collection.members[member].tasks
        contexts = {TOLD: Context(own, modality), UNKNOWN_MODALITY: Context(own, UNKNOWN_MODALITY)}
        scores: dict[str, dict[str, list[float]]] = {told: {task: [] for task in own} for told in contexts}
        cases = held_out_cases(workplace, number, options.cases, training.fold)
        for case in tqdm(cases, desc=f"{name}, {number}", unit="case"):
            truth = reference_masks(workplace, number, case, model.collection)
            for told, found in model.segment(image_of(workplace, number, case), contexts):
                for task in own:
                    scores[told][task].append(dice(found.masks[task], truth[task]))
        members[member] = {
            told: round(mean_of_defined(map(mean_of_defined, of_tasks.values())), 4)
            for told, of_tasks in scores.items()
        }
    return {
        **identity(name, training, workplace, options.batches),
        "cases_per_member": options.cases,
        "modality_accuracy": training.modality_accuracy(workplace),
        "members": members,
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print Dice, told and unknown, a line a training."""
    members = list(dict.fromkeys(member for row in rows for member in row["members"]))
    table = Table("size", "batches", "fold", "seed", "arm", *members, "mean", title="Dice told / unknown")
    for row in rows:
        cells = [row["members"][member] for member in members]
        mean = {told: mean_of_defined(cell[told] for cell in cells) for told in cells[0]}
        table.add_row(
            *(size_of(row), str(row["batches_per_member"]), str(row["fold"]), str(row["seed"]), row["arm"]),
            *(" / ".join(f"{dice:.3f}" for dice in cell.values()) for cell in (*cells, mean)),
        )
    Console(width=max(140, Console().width)).print(table)


if __name__ == "__main__":
    main()
