"""What came of teaching, as a table."""

import math
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hermes_nnunet.core.dice import mean_by_label
from hermes_nnunet.weights.additions.model_folder import folds_with_weights
from hermes_nnunet.weights.teaching.teaching import Taught


def print_taught(taught: Taught, path: Path, base: Path, console: Console) -> None:
    """Print the Dice of examples that were left out, the file, and how to put it into its base.

    Args:
        path: of the file.
        base: model folder.
    """
    if taught.left_out:
        tasks = [task.name for task in taught.addition.header.tasks]
        table = Table("left out", *tasks, title="Dice to expect: examples that were left out in turn")
        for case, dice in taught.left_out.items():
            table.add_row(case, *(_shown(dice[task]) for task in tasks))
        means = mean_by_label(taught.left_out)
        table.add_section()
        table.add_row("[bold]mean", *(f"[bold]{_shown(means[task])}" for task in tasks))
        console.print(table)
    else:
        console.print("No Dice to expect: no example was left out. Look at the first segmentations.")
    for notice in taught.notices:
        console.print(notice, soft_wrap=True)
    header = taught.addition.header
    console.print(f"Addition {header.name}: {path} ({path.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    console.print(f"Put it into its base with: {_command(path, base, header.base.fold)}", soft_wrap=True, markup=False)


def _command(path: Path, base: Path, fold: str) -> str:
    """What puts an addition into its base, whatever the names of the base's trainer and plans."""
    command = shlex.join(["hermes_nnunet", "add", str(path), "-m", str(base)])
    # Other folds would lack it.
    return f"{command} --into ID" if folds_with_weights(base, but=[fold]) else command


def _shown(dice: float) -> str:
    return "-" if math.isnan(dice) else f"{dice:.3f}"
