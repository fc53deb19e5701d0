"""The results as tables."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from comparison.rows import size_of

TABLE_WIDTH = 140


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line a training: mean Dice and HD95 over the members, then the Dice of every member."""
    members = _member_names(rows)
    table = Table(title="Dice (HD95 mm) on held-out cases")
    for column in ("size", "batches", "fold", "seed"):
        table.add_column(column, justify="right")
    for column in ("arm", "mean", *members, "modality told"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for row in rows:
        means = _member_means(row)
        told = row["modality_accuracy"]
        table.add_row(
            size_of(row),
            str(row["batches_per_member"]),
            str(row["fold"]),
            str(row["seed"]),
            row["arm"],
            _cell(*mean_of_pairs(list(means.values()))),
            *_member_cells(means, members),
            "" if told is None else f"{told:.2f}",
        )
    Console(width=max(TABLE_WIDTH, Console().width)).print(table)


def show_seeds(rows: Sequence[dict[str, Any]]) -> None:
    """Print, for every arm that was trained with several seeds, the means over them and the range of the means."""
    of_arms: dict[tuple[str, int, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        of_arms.setdefault((size_of(row), row["batches_per_member"], row["fold"], row["arm"]), []).append(row)
    several = {key: own for key, own in of_arms.items() if len(own) > 1}
    if not several:
        return
    members = _member_names([own[0] for own in several.values()])
    table = Table(title="Dice (HD95 mm), mean over the seeds")
    for column in ("size", "batches", "fold", "arm", "seeds", "mean", "lowest", "highest", *members):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for (size, batches, fold, name), own in several.items():
        means, of_members = over_seeds(own)
        lowest, highest = min(means), max(means)
        table.add_row(
            *(size, str(batches), str(fold), name, str(len(own)), _cell(*mean_of_pairs(means))),
            *(f"{lowest[0]:.3f}", f"{highest[0]:.3f}", *_member_cells(of_members, members)),
        )
    Console(width=max(TABLE_WIDTH, Console().width)).print(table)


def over_seeds(
    rows: Sequence[dict[str, Any]],
) -> tuple[list[tuple[float, float]], dict[str, tuple[float, float]]]:
    """Mean Dice and HD95 (mm) of every row over its members, and of every member over the rows."""
    of_rows = [_member_means(row) for row in rows]
    of_members = {member: mean_of_pairs([own[member] for own in of_rows]) for member in of_rows[0]}
    return [mean_of_pairs(list(own.values())) for own in of_rows], of_members


def member_mean(tasks: dict[str, dict[str, float | None]]) -> tuple[float, float]:
    """Mean Dice and HD95 (mm) of a member's tasks; what no case defines is left out."""
    return mean_of_pairs(
        [(task["dice"], task["hd95_mm"]) for task in tasks.values() if None not in (task["dice"], task["hd95_mm"])]
    )


def mean_of_pairs(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of the first and of the second numbers."""
    first, second = zip(*pairs, strict=True)
    return sum(first) / len(first), sum(second) / len(second)


def _member_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(member for row in rows for member in row["members"]))


def _member_means(row: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {member: member_mean(tasks) for member, tasks in row["members"].items()}


def _member_cells(means: dict[str, tuple[float, float]], members: Sequence[str]) -> list[str]:
    return [_cell(*means[member]) if member in means else "" for member in members]


def _cell(dice: float, distance: float) -> str:
    return f"{dice:.3f} ({distance:.1f})"
