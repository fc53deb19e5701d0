"""`hermes_nnunet demo`: the whole way on generated data, in some minutes."""

import argparse
from pathlib import Path

DEVICES = ("cuda", "cpu", "mps")
EXPECTED_DICE = 0.7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write (default: ./demo)")
    parser.add_argument("--device", choices=DEVICES, help="where to train and predict (default: cuda if it works)")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and print its table; exit code 1 where the model did not come to work."""
    from rich.console import Console

    from hermes_nnunet.cli.demonstration import run_demo
    from hermes_nnunet.core.dice import dice_table

    result = run_demo(arguments.folder, arguments.device or default_device())
    Console().print(dice_table(result.members))
    print(f"picture: {result.report}")
    if not result.mean >= EXPECTED_DICE:
        print(f"mean Dice over members is {result.mean:.3f}, at least {EXPECTED_DICE} was expected: something is wrong")
        return 1
    return 0


def default_device() -> str:
    """cuda where PyTorch sees a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
