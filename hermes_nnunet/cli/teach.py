"""hermes_nnunet teach: fit an addition to a few labelled images."""

import argparse
from pathlib import Path

from hermes_nnunet.additions import RANK
from hermes_nnunet.cli.model_arguments import MODEL_HELP, add_model_names
from hermes_nnunet.weights.teaching.defaults import LEFT_OUT, STEPS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--examples", required=True, type=Path, metavar="DIR",
        help="folder of images and masks (NAME.nii.gz and NAME_mask.nii.gz), or with imagesTr and labelsTr",
    )  # fmt: skip
    parser.add_argument(
        "--name", required=True, help="name of the addition, and of the structure if there is one label"
    )
    parser.add_argument("--modality", required=True, help="modality of the images")
    parser.add_argument(
        "--labels", nargs="+", default=[], metavar="LABEL=VALUE",
        help="labels and their values in the masks: gallbladder=1 duct=2; default: one label, with masks of 0 and 1",
    )  # fmt: skip
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the addition (.hermes)")
    parser.add_argument(
        "--dataset",
        metavar="ID",
        help="id of the data set under which the view will be stored; default: a free one that depends on the name",
    )
    fit = parser.add_argument_group("fit")
    fit.add_argument(
        "--steps", type=int, default=STEPS, metavar="N", help="steps of the optimizer; default: %(default)s"
    )
    fit.add_argument("--rank", type=int, default=RANK, metavar="R", help="rank of the adapters; default: %(default)s")
    fit.add_argument(
        "--leave-out", type=int, default=LEFT_OUT, metavar="N",
        help="how many examples at most to leave out in turn, for the expected Dice; 0 for none; default: %(default)s",
    )  # fmt: skip
    group = parser.add_argument_group("model")
    add_model_names(group)
    group.add_argument("-f", "--fold", metavar="FOLD", help="fold of the model; default: the first that is finished")
    group.add_argument("-device", "--device", help="cpu, cuda, cuda:1, mps; default: a GPU if there is one")


def run(arguments: argparse.Namespace) -> int:
    """Fit, with a progress bar; print the Dice to expect; write the file.

    Raises:
        UsageError: --labels is no list of names and values, or a number is out of range.
        HermesError: the model, an example or a name does not allow it.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hermes_nnunet.cli.model_arguments import model_of
    from hermes_nnunet.core.files import check_output_file
    from hermes_nnunet.errors import HermesError
    from hermes_nnunet.prediction.predictor import chosen_device
    from hermes_nnunet.weights.additions.base import read_fold
    from hermes_nnunet.weights.additions.file import FILE_ENDING
    from hermes_nnunet.weights.teaching.dataset_names import dataset_name_of
    from hermes_nnunet.weights.teaching.examples import find_examples
    from hermes_nnunet.weights.teaching.fitting import Settings
    from hermes_nnunet.weights.teaching.report import print_taught
    from hermes_nnunet.weights.teaching.teaching import teach

    if arguments.output.suffix != FILE_ENDING:
        raise HermesError(f"-o {arguments.output}: the file of an addition ends in {FILE_ENDING}")
    check_output_file(arguments.output)
    labels = _labels(arguments.labels)
    base = read_fold(model_of(arguments), arguments.fold)
    examples = find_examples(arguments.examples)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bars: dict[str, int] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=of)
            progress.update(bars[what], completed=done)

        taught = teach(
            base,
            examples,
            name=arguments.name,
            modality=arguments.modality,
            dataset_name=dataset_name_of(arguments.dataset, arguments.name, base.plans.members),
            labels=labels,
            rank=arguments.rank,
            settings=Settings(steps=arguments.steps),
            leave_out=arguments.leave_out,
            device=chosen_device(arguments.device),
            report=report,
        )
    taught.addition.save(arguments.output)
    print_taught(taught, arguments.output, base.model.path, console)
    return 0


def _labels(words: list[str]) -> dict[str, int] | None:
    from hermes_nnunet.errors import UsageError

    labels: dict[str, int] = {}
    for word in (part for words_ in words for part in words_.split(",") if part):
        name, equals, value = word.rpartition("=")
        if not (equals and name and value.isdigit()):
            raise UsageError(f"--labels {word}: give a name and a value, as gallbladder=1")
        if name in labels:
            raise UsageError(f"--labels {word}: {name} has two values")
        labels[name] = int(value)
    return labels or None
