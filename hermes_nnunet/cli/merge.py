"""hermes_nnunet merge: make a collection of several data sets."""

import argparse

from hermes_nnunet.cli.cluster_arguments import add_cluster_arguments, opened_cluster, part_of, wish_of
from hermes_nnunet.cli.merge_arguments import add_merge_arguments, specification_of
from hermes_nnunet.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "members",
        nargs="*",
        metavar="DATASET:MODALITY",
        help="a data set in nnUNet_raw, by id or name, and the modality of its images: 301:CT",
    )
    add_merge_arguments(parser)
    add_cluster_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Merge, and print what was done.

    Raises:
        HermesError: the arguments or the data do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.data.merge import merge, merge_part
    from hermes_nnunet.data.merge.report import print_part, print_result

    part, wish = part_of(arguments), wish_of(arguments)
    if wish is not None and arguments.processes is not None:
        raise UsageError("--processes are of this machine, and --cluster says where to work: choose one")
    if part is not None and arguments.dry_run:
        raise UsageError("--dry-run checks all members together: leave out --part")
    specification = specification_of(arguments, arguments.members)
    with opened_cluster(wish) as cluster:
        if part is not None:
            written = merge_part(specification, part, processes=arguments.processes, engine=cluster)
            print_part(written, part, Console())
            return 0
        result = merge(specification, processes=arguments.processes, dry_run=arguments.dry_run, engine=cluster)
    print_result(result, Console())
    return 0
