"""The arguments by which commands are told what to merge, and how."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hermes_nnunet.cli.spacing_argument import add_spacing_from
from hermes_nnunet.errors import UsageError

if TYPE_CHECKING:
    from hermes_nnunet.data.merge import MergeSpecification


def add_merge_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all of them but the members on the command line."""
    parser.add_argument(
        "--members",
        dest="file",
        metavar="FILE",
        help="YAML file with the members instead; it can also share, rename and leave out labels, choose channels, "
        "set sampling weights and identify patients (docs/merge.md)",
    )
    parser.add_argument("--into", type=int, metavar="ID", help="id of the collection, 1 to 999")
    parser.add_argument("--name", help="name of the collection: its folder will be Dataset<ID>_<NAME>")
    parser.add_argument(
        "--new-modality",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="modality names to allow in addition to the known ones",
    )
    add_spacing_from(parser)
    parser.add_argument("--dry-run", action="store_true", help="check and print the table, but write nothing")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="number of cases read at the same time (default: one for each core)"
    )


def specification_of(arguments: argparse.Namespace, members: Sequence[str]) -> "MergeSpecification":
    """The merge that is asked for.

    Args:
        arguments: as `add_merge_arguments` declares them.
        members: on the command line, as in 301:CT.

    Raises:
        UsageError: there are no members, or both kinds; or the collection has no id or name.
        HermesError: the merge is not possible.
    """
    from hermes_nnunet.data.merge import MergeSpecification, member_from_word, read_merge_file

    if arguments.file is not None:
        if members:
            raise UsageError(f"members on the command line ({members[0]}) and in {arguments.file}: choose one")
        return read_merge_file(
            arguments.file,
            name=arguments.name,
            into=arguments.into,
            new_modalities=arguments.new_modality,
            spacing_from=arguments.spacing_from,
        )
    if not members:
        raise UsageError("no members: name data sets as 301:CT, or give a YAML file with --members")
    if arguments.into is None or arguments.name is None:
        raise UsageError("name the collection: --into 900 --name HeadHeart")
    return MergeSpecification(
        name=arguments.name,
        into=arguments.into,
        members=tuple(member_from_word(word) for word in members),
        new_modalities=tuple(arguments.new_modality),
        spacing_from=arguments.spacing_from,
    )
