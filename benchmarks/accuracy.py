"""Is one Hermes better than nnU-Net's single models, with as many training patches, on real images?

Trains the arms of the comparison with stock nnUNetv2_train on the members 301 to 304 and validates them on the cases
that the members' own splits hold out: 'singles' (plain nnU-Net, one a member), 'naive' (plain nnU-Net on the
collection, unlabelled is background), 'masked' (a channel a task, loss on annotated tasks only, no priors) and
'hermes'. Spacing, patch, widths, augmentation, optimizer and total number of patches are the same.

A killed comparison goes on where it was; trainings that are done are not run again. The results of other folds, seeds
and sizes in results/accuracy.json stay.

    python benchmarks/accuracy.py ../shared/data/raw FOLDER
    python benchmarks/accuracy.py ../shared/data/raw FOLDER --fold 1 --arms masked hermes
    python benchmarks/accuracy.py ../shared/data/raw FOLDER --arms --ablations "averaged weights" LAMB
    python benchmarks/accuracy.py ../shared/data/raw FOLDER --arms --questions synergy few_labels
    python benchmarks/accuracy.py ../shared/data/raw OTHER_FOLDER --arms masked hermes --ct paper
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from comparison.arguments import comparison_parser
from comparison.arms import ABLATIONS, ablation, arm, can_be_ablated
from comparison.data import CT_RULES, PLANNED_CT_RULE, Workplace
from comparison.questions import QUESTIONS
from comparison.rows import add_row, identity, read_rows
from comparison.running import Conditions, Training
from comparison.scoring import by_task, scores_of
from comparison.tables import show, show_seeds

ARMS = ("singles", "masked", "hermes", "naive")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print and write the table."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.questions and options.ct != PLANNED_CT_RULE:
        parser.error(f"--questions are asked of --ct {PLANNED_CT_RULE} only")
    for name in options.ablations:
        if not can_be_ablated(name, options.ablated):
            parser.error(f"--ablations '{name}' changes HermesUNet, which --ablated {options.ablated} does not have")
    options.results.mkdir(parents=True, exist_ok=True)
    workplace = Workplace(options.folder.resolve(), options.commands, options.ct, options.size)
    workplace.link_members(options.source)
    workplace.prepare_singles()
    workplace.prepare_collection()
    wanted = {name: arm(name, batches=options.batches, fold=options.fold, seed=options.seed) for name in options.arms}
    wanted |= {
        f"{options.ablated}, {name}": ablation(
            name, of_arm=options.ablated, batches=options.batches, fold=options.fold, seed=options.seed
        )
        for name in options.ablations
    }
    result = options.results / "accuracy.json"
    for name, trainings in wanted.items():
        for training in trainings:
            training.run(workplace, options.device)
        add_row(result, row(_row_name(name, options.ct), trainings, workplace, options), __doc__)
    for question in options.questions:
        QUESTIONS[question](workplace, Conditions(options.batches, options.seed, options.device), options.results)
    if rows := read_rows(result):
        show(rows)
        show_seeds(rows)


def row(
    name: str, trainings: Sequence[Training], workplace: Workplace, options: argparse.Namespace | Conditions
) -> dict[str, Any]:
    """The result of an arm: what it was run with, and Dice and HD95 (mm) of every member's tasks."""
    members = by_task(scores_of(trainings, workplace))
    return {
        **identity(name, trainings[0], workplace, options.batches),
        "configuration": {training.name: training.configuration(workplace) for training in trainings},
        "training_loss": {training.name: training.losses(workplace) for training in trainings},
        "resident_mb": {training.name: training.memory(workplace) for training in trainings},
        "modality_accuracy": trainings[0].modality_accuracy(workplace),
        "members": {
            member: {
                task: {"dice": _number(dice), "hd95_mm": _number(distance)} for task, (dice, distance) in own.items()
            }
            for member, own in members.items()
        },
    }


def _row_name(arm_name: str, ct_rule: str) -> str:
    """Singles have nnU-Net's rule, whatever the collection has."""
    return arm_name if arm_name == "singles" else f"{arm_name}{CT_RULES[ct_rule]}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _parser() -> argparse.ArgumentParser:
    made = comparison_parser(__doc__)
    made.add_argument("--arms", nargs="*", default=ARMS, choices=ARMS)
    made.add_argument("--ablations", nargs="*", default=(), choices=ABLATIONS, help="one change each")
    made.add_argument("--ablated", default="hermes", choices=("hermes", "masked"), help="arm that is changed")
    made.add_argument(
        "--ct",
        default=PLANNED_CT_RULE,
        choices=CT_RULES,
        help="rule of the collection's CTs; each needs its own FOLDER",
    )
    made.add_argument("--questions", nargs="*", default=(), choices=QUESTIONS, help="what else to answer")
    return made


if __name__ == "__main__":
    main()
