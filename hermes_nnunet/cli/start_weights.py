"""hermes_nnunet start-weights: convert weights of plain nnU-Net, to start a training from them."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint_*.pth of a 3D model of plain nnU-Net, or the folder of its fold"
    )
    parser.add_argument("-d", "--dataset", required=True, metavar="ID", help="id or name of the collection")
    parser.add_argument("-p", "--plans", default="HermesPlans", metavar="NAME", help="default: %(default)s")
    parser.add_argument("-c", "--configuration", default="3d_fullres", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="file for nnUNetv2_train -pretrained_weights"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print what of the checkpoint is in it.

    Raises:
        HermesError: the plans or the checkpoint do not allow it.
    """
    from rich.console import Console

    from hermes_nnunet.core.nnunet_folders import PREPROCESSED, find_dataset, set_folder
    from hermes_nnunet.weights.starting.report import print_start
    from hermes_nnunet.weights.starting.start import write_start

    folder = set_folder(PREPROCESSED)
    number = arguments.dataset
    dataset = find_dataset(folder, int(number) if number.isdigit() else number, PREPROCESSED)
    start, plain = write_start(
        arguments.checkpoint, folder / dataset, arguments.plans, arguments.configuration, arguments.output
    )
    console = Console()
    print_start(start, plain, console)
    console.print(f"Train with: nnUNetv2_train ... -pretrained_weights {arguments.output}", soft_wrap=True)
    return 0
