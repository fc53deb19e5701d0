"""hermes_nnunet merge: make a collection of several data sets."""

import argparse

from hermes_nnunet.cli.merge_arguments import add_merge_arguments, specification_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "members",
        nargs="*",
        metavar="DATASET:MODALITY",
        help="a data set in nnUNet_raw, by id or name, and the modality of its images: 301:CT",
    )
    add_merge_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Merge, and print what was done.

    Raises:
        HermesError: the arguments or the data do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.data.merge import merge
    from hermes_nnunet.data.merge.report import print_result

    specification = specification_of(arguments, arguments.members)
    result = merge(specification, processes=arguments.processes, dry_run=arguments.dry_run)
    print_result(result, Console())
    return 0
