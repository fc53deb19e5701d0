"""hermes_nnunet merge: make a collection of several data sets."""

import argparse
from typing import TYPE_CHECKING

from hermes_nnunet.cli.spacing_argument import add_spacing_from
from hermes_nnunet.errors import UsageError

if TYPE_CHECKING:
    from hermes_nnunet.data.merge import MergeSpecification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "members",
        nargs="*",
        metavar="DATASET:MODALITY",
        help="a data set in nnUNet_raw, by id or name, and the modality of its images: 301:CT",
    )
    parser.add_argument(
        "--members",
        dest="file",
        metavar="FILE",
        help="YAML file with the members instead; it can also share, rename and leave out labels, choose channels, set "
        "sampling weights and name patients (docs/merge.md)",
    )
    parser.add_argument("--into", type=int, metavar="ID", help="id of the collection, 1 to 999")
    parser.add_argument("--name", help="name of the collection: its folder will be Dataset<ID>_<NAME>")
    parser.add_argument(
        "--new-modality",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="modality words to allow beside the known ones",
    )
    add_spacing_from(parser)
    parser.add_argument("--dry-run", action="store_true", help="check and print the table, but write nothing")
    parser.add_argument("--processes", type=int, metavar="N", help="cases read at the same time (default: one a core)")


def run(arguments: argparse.Namespace) -> int:
    """Merge, and print what was done.

    Raises:
        HermesError: the arguments or the data do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.data.merge import merge
    from hermes_nnunet.data.merge.report import print_result

    specification = _specification(arguments)
    result = merge(specification, processes=arguments.processes, dry_run=arguments.dry_run)
    print_result(result, Console())
    return 0


def _specification(arguments: argparse.Namespace) -> "MergeSpecification":
    from hermes_nnunet.data.merge import MergeSpecification, member_from_word, read_merge_file

    if arguments.file is not None:
        if arguments.members:
            raise UsageError(
                f"members on the command line ({arguments.members[0]}) and in {arguments.file}: choose one"
            )
        return read_merge_file(
            arguments.file,
            name=arguments.name,
            into=arguments.into,
            new_modalities=arguments.new_modality,
            spacing_from=arguments.spacing_from,
        )
    if not arguments.members:
        raise UsageError("no members: name data sets as 301:CT, or give a YAML file with --members")
    if arguments.into is None or arguments.name is None:
        raise UsageError("name the collection: --into 900 --name HeadHeart")
    return MergeSpecification(
        name=arguments.name,
        into=arguments.into,
        members=tuple(member_from_word(word) for word in arguments.members),
        new_modalities=tuple(arguments.new_modality),
        spacing_from=arguments.spacing_from,
    )
