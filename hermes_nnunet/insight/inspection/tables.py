"""The facts of an inspection on the screen."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hermes_nnunet.core.nnunet_folders import dataset_id
from hermes_nnunet.core.overlaps import overlap_lines


def print_facts(facts: dict[str, Any], console: Console) -> None:
    """A heading, tables of the members, their images, the tasks and the folds, and what may overlap."""
    console.print(_heading(facts), soft_wrap=True, highlight=False, markup=False)
    tables = [_members(facts), _tasks(facts)]
    if facts["image_sizes_from"] is not None:
        tables.insert(1, _images(facts))
    if facts.get("additions"):
        tables.append(_additions(facts))
    if facts["folds"]:
        tables.append(_folds(facts))
    for table in tables:
        console.print("", table)
    lines = _overlaps(facts)
    for line in ["", *lines] if lines else []:
        console.print(line, highlight=False, markup=False)


def _overlaps(facts: dict[str, Any]) -> list[str]:
    """What is known of where tasks are not; a view does not say."""
    tasks = [task for task in facts["tasks"] if "may_overlap" in task]
    return overlap_lines(
        {task["name"]: task["may_overlap"] for task in tasks},
        {task["name"]: task["members"] for task in tasks},
        {name: member.get("absent", []) for name, member in facts["members"].items()},
    )


def _heading(facts: dict[str, Any]) -> str:
    known = [f"{len(facts['members'])} members", f"{len(facts['tasks'])} tasks"]
    known.append(f"modalities {', '.join(facts['modalities'])}")
    if facts["trained_folds"]:
        known.append(f"trained folds {', '.join(facts['trained_folds'])}")
    return f"{facts['kind']} {facts['name']} ({facts['path']}): {'; '.join(known)}"


def _table(title: str, left: Sequence[str], right: Sequence[str] = (), wide: Sequence[str] = ()) -> Table:
    """Columns to the left, to the right, and last those that may be folded."""
    # Narrow, for a terminal of 80 columns.
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name in wide:
        table.add_column(name, overflow="fold")
    return table


def _members(facts: dict[str, Any]) -> Table:
    table = _table("members", ["member"], ["data set", "cases", "patients", "sampled"], ["modality", "tasks"])
    rows = {task["name"]: str(task["id"]) for task in facts["tasks"]}
    for name, member in facts["members"].items():
        table.add_row(
            escape(name),
            str(dataset_id(member["dataset_name"])),
            str(member.get("cases", "")),
            str(member.get("patients", "")),
            f"{100 * member['sampling_share']:.1f} %",
            ", ".join(member["modalities"]),
            _runs([int(rows[task]) for task in member["tasks"]]),
        )
    return table


def _images(facts: dict[str, Any]) -> Table:
    note = "" if facts["image_sizes_from"] == "headers" else ", empty borders cut"
    title = f"images along x, y, z, smallest to largest{note}"
    table = _table(title, ["member"], wide=["spacing (mm)", "size (voxels)"])
    for name, member in facts["members"].items():
        if member["spacing_mm"] is not None:
            table.add_row(escape(name), _ranges(member["spacing_mm"]), _ranges(member["size_voxels"]))
    return table


def _tasks(facts: dict[str, Any]) -> Table:
    table = _table("tasks", ["task"], ["id", "values"], ["members"])
    for task in facts["tasks"]:
        values = ", ".join(map(str, task["values"]))
        table.add_row(escape(task["name"]), str(task["id"]), values, escape(", ".join(task["members"])))
    return table


def _additions(facts: dict[str, Any]) -> Table:
    table = _table("additions", ["addition"], ["rank", "trained on", "Dice"], ["new modalities"])
    for addition in facts["additions"]:
        dice = [value for value in addition.get("dice", {}).values() if value is not None]
        cases = addition.get("trained_on", {}).get("cases")
        table.add_row(
            escape(addition["member"]),
            str(addition["rank"]),
            "" if cases is None else f"{cases} cases",
            f"{sum(dice) / len(dice):.3f}" if dice else "",
            ", ".join(addition["new_modalities"]),
        )
    return table


def _folds(facts: dict[str, Any]) -> Table:
    numbers = [str(number) for number in range(len(facts["folds"]))]
    table = _table("folds: cases to train + to validate", ["member"], numbers)
    for name in facts["members"]:
        table.add_row(
            escape(name), *(f"{fold['train'].get(name, 0)} + {fold['val'].get(name, 0)}" for fold in facts["folds"])
        )
    return table


def _ranges(values: dict[str, Sequence[float]]) -> str:
    """ "1.5-1.6, 1.5-1.6, 10" """
    pairs = zip(values["smallest"], values["largest"], strict=True)
    return ", ".join(f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}" for low, high in pairs)


def _runs(numbers: Sequence[int]) -> str:
    """ "0-3, 7" of 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
