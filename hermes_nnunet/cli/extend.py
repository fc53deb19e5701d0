"""hermes_nnunet extend: make and plan a collection of a new data set, to train an addition to a trained model."""

import argparse

from hermes_nnunet.additions import RANK
from hermes_nnunet.cli.merge_arguments import add_merge_arguments, specification_of
from hermes_nnunet.cli.model_arguments import add_model_arguments, model_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_model_arguments(parser)
    parser.add_argument(
        "member",
        nargs="*",
        metavar="DATASET:MODALITY",
        help="new data set in nnUNet_raw, by id or name, and the modality of its images: 305:T2",
    )
    add_merge_arguments(parser)
    parser.add_argument("-f", "--fold", metavar="FOLD", help="fold of the model; default: the first that is finished")
    parser.add_argument(
        "--rank", type=int, default=RANK, metavar="R", help="rank of the addition's adapters; default: %(default)s"
    )


def run(arguments: argparse.Namespace) -> int:
    """Merge and plan, and print what was done and what comes next.

    Raises:
        HermesError: the arguments, the model or the data do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.core.nnunet_folders import PREPROCESSED, set_folder
    from hermes_nnunet.weights.additions.extending import extend
    from hermes_nnunet.weights.additions.report import print_extension

    preprocessed = set_folder(PREPROCESSED)
    if arguments.name is None and arguments.file is None and arguments.into is not None:
        arguments.name = f"Extension{arguments.into}"
    result = extend(
        model_of(arguments),
        specification_of(arguments, arguments.member),
        preprocessed=preprocessed,
        fold=arguments.fold,
        rank=arguments.rank,
        processes=arguments.processes,
        dry_run=arguments.dry_run,
    )
    print_extension(result, arguments.configuration, Console())
    return 0
