"""What of a checkpoint a start has, as a table."""

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from rich.console import Console
from rich.table import Table

from hermes_nnunet.core.wording import listed
from hermes_nnunet.weights.starting.plain_checkpoint import PlainCheckpoint
from hermes_nnunet.weights.starting.start import Start

# nnU-Net's layers hold their convolution and norm a second time in a Sequential.
_SECOND_NAME = ".all_modules."
_PART_DEPTH = 3
_OF_ROWS = ".seg_layers."
# The 1x1x1 convolutions of plain nnU-Net, and the modality head of ours.
_CLASSIFIERS = "decoder.seg_layers."
_ROWS = "rows of tasks and modalities"


def print_start(start: Start, plain: PlainCheckpoint, console: Console) -> None:
    """Print what was taken, fitted, begun anew and left out, by parts of the network, in numbers."""
    table = Table("part", "", title=f"From {plain.path}")
    table.add_column("numbers", justify="right")
    plainly = [name for name in start.taken if name not in start.fitted]
    for part, numbers in _by_part(plainly, start.weights).items():
        table.add_row(part, "taken", f"{numbers:,}")
    for change in dict.fromkeys(start.fitted.values()):
        names = [name for name, own in start.fitted.items() if own == change]
        for part, numbers in _by_part(names, start.weights).items():
            table.add_row(part, f"fitted: {change}", f"{numbers:,}")
    for part, numbers in _by_part(start.new, start.weights).items():
        table.add_row(part, "new", f"{numbers:,}")
    for reason in dict.fromkeys(start.left.values()):
        names = [name for name, own in start.left.items() if own == reason]
        for part, numbers in _by_part(names, plain.weights).items():
            table.add_row(part, f"left out: {reason}", f"{numbers:,}")
    console.print(table)
    if start.begins_as_the_unet:
        console.print("The network begins as that U-Net: the same image gives the same features.", soft_wrap=True)
        return
    others = dict.fromkeys(_part(name) for name in start.new_of_the_unet)
    console.print(
        f"The network does not begin as that U-Net, which has another {listed(others)}: plan one like it with "
        f"HERMES_PLANS_LIKE={plain.path}",
        soft_wrap=True,
    )


def _by_part(names: Iterable[str], weights: Mapping[str, torch.Tensor]) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for name in names:
        if _SECOND_NAME not in name:
            numbers[_part(name)] += weights[name].numel()
    return numbers


def _part(name: str) -> str:
    if _OF_ROWS in name and not name.startswith(_CLASSIFIERS):
        return _ROWS
    return ".".join(name.split(".")[:_PART_DEPTH])
