"""Dice by member and task, from what nnU-Net's validation leaves."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hermes_nnunet.collection import Collection
from hermes_nnunet.files import write_json, written_beside

FORMAT_VERSION = 1


@dataclass(frozen=True)
class MemberDice:
    """Mean Dice of a member's cases for each of its tasks; nan for a task that no case shows."""

    member: str
    cases: int
    tasks: dict[str, float]

    @property
    def mean(self) -> float:
        return nan_mean(list(self.tasks.values()))


def nan_mean(numbers: Sequence[float]) -> float:
    """Mean of the numbers that are not nan; nan (without a warning) where there is none."""
    known = [number for number in numbers if not np.isnan(number)]
    return float(np.mean(known)) if known else float("nan")


def summary_key(values: Sequence[int]) -> str:
    """The key under which nnU-Net's summary.json keeps a label or region."""
    return str(values[0]) if len(values) == 1 else str(tuple(values))


def dice_by_member(summary: Mapping[str, Any], collection: Collection) -> list[MemberDice]:
    """Members in the collection's order, from the content of a summary.json in the collection's labels."""
    key_of = {task.name: summary_key(task.values) for task in collection.tasks}
    metrics: dict[str, list[Mapping[str, Any]]] = {}
    for entry in summary["metric_per_case"]:
        case = Path(entry["prediction_file"]).name.split(".")[0]
        metrics.setdefault(collection.cases[case].member, []).append(entry["metrics"])
    return [
        MemberDice(
            name,
            len(metrics[name]),
            {task: nan_mean([case[key_of[task]]["Dice"] for case in metrics[name]]) for task in member.tasks},
        )
        for name, member in collection.members.items()
        if name in metrics
    ]


def write_member_dice(results: Sequence[MemberDice], folder: Path) -> None:
    """Write dice_by_member.json and dice_by_member.csv into `folder`; nan becomes null, or an empty field."""
    content = {
        "format_version": FORMAT_VERSION,
        "mean": _or_none(nan_mean([result.mean for result in results])),
        "members": {
            result.member: {
                "mean": _or_none(result.mean),
                "cases": result.cases,
                "tasks": {task: _or_none(dice) for task, dice in result.tasks.items()},
            }
            for result in results
        },
    }
    write_json(content, folder / "dice_by_member.json")
    with written_beside(folder / "dice_by_member.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("member", "task", "cases", "dice"))
        for result in results:
            for task, dice in result.tasks.items():
                writer.writerow((result.member, task, result.cases, "" if np.isnan(dice) else f"{dice:.6f}"))


def print_member_dice(results: Sequence[MemberDice], title: str) -> None:
    """Print a table with a row a task and the mean of every member."""
    table = Table(title=title)
    for heading in ("member", "task"):
        table.add_column(heading)
    for heading in ("cases", "Dice"):
        table.add_column(heading, justify="right")
    for result in results:
        for task, dice in result.tasks.items():
            table.add_row(result.member, task, str(result.cases), f"{dice:.3f}")
        table.add_row(result.member, "mean", str(result.cases), f"{result.mean:.3f}", style="bold", end_section=True)
    mean = nan_mean([result.mean for result in results])
    table.add_row("mean over members", "", str(sum(result.cases for result in results)), f"{mean:.3f}", style="bold")
    Console().print(table)


def _or_none(number: float) -> float | None:
    return None if np.isnan(number) else number
