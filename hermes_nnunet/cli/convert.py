"""hermes_nnunet convert: make an nnU-Net raw data set of a public one."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_nnunet.cli.main import main
from hermes_nnunet.cli.spacing_argument import add_spacing_from
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from hermes_nnunet.data.conversion.converter import Converter

# What only some converters take.
_OPTIONS = ("labels", "priority", "background")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("converter", nargs="?", metavar="NAME", help="the data set, as --list names it")
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="folder of the downloaded data set")
    parser.add_argument("-d", dest="number", type=int, metavar="ID", help="id of the nnU-Net data set, 1 to 999")
    parser.add_argument(
        "--list",
        action="store_true",
        help="list all data sets, or describe NAME: modality, cases, labels, home page, licence and folder layout",
    )
    parser.add_argument(
        "--all-training",
        action="store_true",
        help="use every labelled case for training, in five folds, instead of the paper's training and test cases",
    )
    parser.add_argument(
        "--link", action="store_true", help="link to image files that need no change instead of copying them"
    )
    parser.add_argument("--skip-broken", action="store_true", help="leave out broken cases instead of stopping")
    parser.add_argument(
        "--channels",
        nargs="+",
        default=[],
        metavar="CHANNEL",
        help="channels to take, by name (default: all; autopet: PET)",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="from_dicom: structures to take, which every case must have (default: all structures of any case)",
    )
    parser.add_argument(
        "--priority",
        nargs="+",
        metavar="LABEL",
        help="from_dicom: structures that take precedence where they overlap others, in this order",
    )
    parser.add_argument(
        "--background",
        nargs=1,
        choices=("rest", "zero"),
        help="brain_structure: background is where one minus the sum of the maps exceeds each of them (rest, the "
        "default), or where all maps are 0 (zero)",
    )
    add_spacing_from(parser)
    parser.add_argument("--name", help="last part of the name of the data set's folder (default: the data set's own)")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="number of cases at the same time (default: one for each core)"
    )


def run(arguments: argparse.Namespace) -> int:
    """List the data sets, or convert one, and print what was done.

    Raises:
        HermesError: the arguments or the data do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.data.conversion.converting import convert
    from hermes_nnunet.data.conversion.registry import all_converters, find_converter
    from hermes_nnunet.data.conversion.report import print_converters, print_result

    console = Console()
    if arguments.list:
        chosen = all_converters() if arguments.converter is None else [find_converter(arguments.converter)]
        print_converters(chosen, console)
        return 0
    if arguments.converter is None or arguments.source is None or arguments.number is None:
        raise HermesError("name the data set, its folder and an id: hermes_nnunet convert bcv FOLDER -d 11")
    result = convert(
        find_converter(arguments.converter),
        Path(arguments.source).expanduser(),
        arguments.number,
        all_training=arguments.all_training,
        link=arguments.link,
        skip_broken=arguments.skip_broken,
        channels=arguments.channels,
        name=arguments.name,
        options={name: words for name in _OPTIONS if (words := getattr(arguments, name)) is not None},
        spacing_from=arguments.spacing_from,
        processes=arguments.processes,
    )
    print_result(result, console)
    return 0


def convert_with(converter: "Converter") -> None:
    """Run a converter's module as a command, with the arguments of `hermes_nnunet convert` after its name.

    Raises:
        SystemExit: always, with the exit code.
    """
    raise SystemExit(main(["convert", converter.name, *sys.argv[1:]]))
