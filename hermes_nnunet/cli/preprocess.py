"""hermes_nnunet preprocess: what nnUNetv2_preprocess does, on one machine or many, and going on where it was."""

import argparse

from hermes_nnunet.cli.cluster_arguments import add_cluster_arguments, opened_cluster, part_of, wish_of
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import escaped

# nnU-Net's own default.
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("dataset", metavar="DATASET", help="the collection, by id or name; it must be planned")
    parser.add_argument("-plans_name", "--plans", default="HermesPlans", help="default: %(default)s")
    parser.add_argument(
        "-c", "--configurations", nargs="+", default=CONFIGURATIONS, metavar="CONFIGURATION",
        help="configurations to preprocess, if the plans have them; default: all",
    )  # fmt: skip
    parser.add_argument(
        "-np",
        "--processes",
        type=int,
        metavar="N",
        help="number of cases worked on at the same time (default: one for each core)",
    )
    parser.add_argument("--continue", action="store_true", dest="go_on", help="skip cases that are finished")
    add_cluster_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Preprocess, and print what was done.

    Raises:
        HermesError: the collection was not planned, or cases cannot be preprocessed.
    """
    from hermes_nnunet.core.engine import Pool
    from hermes_nnunet.core.processes import default_processes

    part, wish = part_of(arguments), wish_of(arguments)
    if wish is not None and arguments.processes is not None:
        raise UsageError("--processes are of this machine, and --cluster says where to work: choose one")
    if arguments.processes is not None and arguments.processes < 1:
        raise HermesError(f"{arguments.processes} processes: give at least 1")

    from hermes_nnunet.planning.preprocessing.collection import preprocess

    dataset = int(arguments.dataset) if arguments.dataset.isdecimal() else arguments.dataset
    with opened_cluster(wish) as cluster:
        done = preprocess(
            dataset,
            arguments.plans,
            arguments.configurations,
            cluster or Pool(arguments.processes or default_processes()),
            part=part,
            go_on=arguments.go_on,
        )
    before = f", {done.before} were finished before" if done.before else ""
    count = f"{done.cases} case{'s' * (done.cases != 1)}"
    of_part = f" of part {part}" if part is not None else ""
    print(f"{count}{of_part} preprocessed to {escaped(str(done.folder))} ({', '.join(done.configurations)}){before}")
    return 0
