"""hermes_nnunet pseudo-label: label unlabelled images with a trained model, where it is certain."""

import argparse
import math
import sys

from hermes_nnunet.cli.model_arguments import add_model_arguments, model_of
from hermes_nnunet.file_names import escaped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_arguments(parser)
    parser.add_argument("--into", type=int, required=True, metavar="ID", help="id of the new data set, 1 to 999")
    parser.add_argument("--name", default="PseudoLabelled", help="its name, after Dataset<ID>_; default: %(default)s")
    parser.add_argument(
        "--member", nargs="+", default=[], metavar="NAME", help="members whose images to label; default: all unlabelled"
    )
    parser.add_argument(
        "--tasks", nargs="+", default=[], metavar="TASK",
        help="tasks to label, separated by commas or spaces; default: all that the model knows in an image's modality",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", type=float, default=0.9, metavar="SHARE",
        help="share of a task's voxels that has to be right in held-out cases; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--cases", type=int, default=10, metavar="N",
        help="number of held-out cases of a member, in each fold, to measure this on; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="folds to average; default: all finished ones")
    parser.add_argument("-device", "--device", help="cpu, cuda, cuda:1, mps; default: a GPU if there is one")
    parser.add_argument("--full-precision", action="store_true", help="do not use half precision on a GPU")


def run(arguments: argparse.Namespace) -> int:
    """Label the images, and say how sure the model is of each task and how to merge the new data set.

    Raises:
        HermesError: there is no such model, or nothing to label.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from hermes_nnunet.core.wording import listed
    from hermes_nnunet.prediction.model_folder import read_model_folder
    from hermes_nnunet.prediction.pseudo_labels.labelled_dataset import Wish, label_images

    wish = Wish(
        into=arguments.into,
        name=arguments.name,
        members=arguments.member,
        tasks=[task for word in arguments.tasks for task in word.split(",") if task.strip()],
        confidence=arguments.confidence,
        cases_per_member=arguments.cases,
    )
    model = read_model_folder(model_of(arguments), arguments.folds)
    made = label_images(model, wish, arguments.device, half_precision=not arguments.full_precision)
    for warning in made.warnings:
        print(f"hermes_nnunet: warning: {escaped(warning)}", file=sys.stderr)
    table = Table(title="labelled where the model is sure", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("task")
    for column in ("from probability", "ignored from", "right", "found", "missed", "cases"):
        table.add_column(column, justify="right")
    for task, limits in made.thresholds.items():
        numbers = (
            _probability(limits.present),
            _probability(limits.absent),
            limits.precision,
            limits.recall,
            limits.missed,
        )
        table.add_row(escape(task), *(f"{number:.3f}" for number in numbers), str(limits.cases))
    console = Console()
    console.print(table)
    if made.unsure:
        print(f"never sure enough, so not labelled: {escaped(listed(made.unsure))}")
    print(f"{made.cases} image{'s' * (made.cases != 1)} labelled in {escaped(str(made.folder))}")
    print("in the next merge file:")
    for line in made.merge_lines:
        print(escaped(line))
    return 0


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
