"""The result of a comparison: a row an arm, size, length, fold and seed, kept in one JSON file."""

from pathlib import Path
from typing import Any

from measuring import machine

from comparison.data import Workplace
from comparison.running import Training
from comparison.size import USUAL_SIZE
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.versions import package_versions

FORMAT_VERSION = 1


def add_row(path: Path, new: dict[str, Any], question: str | None) -> None:
    """Write a row to the result; it takes the place of one of the same arm, size, length, fold and seed.

    Args:
        question: docstring of the benchmark, whose first paragraph is kept with the rows.
    """
    kept = [old for old in read_rows(path) if _key(old) != _key(new)]
    content = {
        "format_version": FORMAT_VERSION,
        "question": " ".join((question or "").split("\n\n")[0].split()),
        "machine": machine(),
        "versions": package_versions(),
        "rows": sorted([*kept, new], key=_key),
    }
    write_json(content, path)


def identity(arm: str, training: Training, workplace: Workplace, batches: int) -> dict[str, Any]:
    """What tells the row of an arm from others, and the recipe of its (first) training."""
    return {
        "arm": arm,
        "size": workplace.size_name,
        "batches_per_member": batches,
        "fold": training.fold,
        "seed": training.recipe.seed,
        "recipe": vars(training.recipe),
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a result; none where there is no file yet."""
    return read_json(path, "delete it")["rows"] if path.is_file() else []


def size_of(row: dict[str, Any]) -> str:
    """Name of the row's size; rows that tell none are of a time when there was one."""
    return row.get("size", USUAL_SIZE)


def _key(row: dict[str, Any]) -> tuple:
    return size_of(row), row["batches_per_member"], row["fold"], row["seed"], row["arm"]
