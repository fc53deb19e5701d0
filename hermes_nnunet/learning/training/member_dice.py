"""Dice by member and task, from what nnU-Net's validation leaves."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.collection import Collection, Task
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.dice import CaseDice, mean_by_label, mean_dice, mean_of_defined
from hermes_nnunet.core.files import read_json, write_json, written_beside
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.schema import WITH_MORE, Measure, Text, checked

FORMAT_VERSION = 1
# In a summary.json: the checkpoint that was validated, where that was not the final one.
VALIDATED_KEY = "hermes_checkpoint"
_REMEDY = "run the validation again (nnUNetv2_train ... --val)"


class _OfCase(TypedDict):
    prediction_file: Text
    metrics: dict[Text, dict[Text, Measure]]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Summary(TypedDict):
    metric_per_case: list[_OfCase]
    hermes_checkpoint: NotRequired[Text]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


def read_summary(path: Path, collection: Collection) -> dict[str, Any]:
    """nnU-Net's summary.json of the validation of a collection.

    Raises:
        HermesError: it cannot be read, is of other cases, or lacks the Dice of a task, or a measure that others have.
    """
    content = _read(path)
    key_of = {task.name: summary_key(task.values) for task in collection.tasks}
    measures = None
    for number, entry in enumerate(content["metric_per_case"]):
        case, where = case_of_entry(entry), f"{path}: metric_per_case[{number}]"
        if case not in collection.cases:
            raise HermesError(f"{where}: case {quoted(case)} is not in the collection: {_REMEDY}")
        for task in collection.members[collection.cases[case].member].tasks:
            own = entry["metrics"].get(key_of[task], {})
            measures = measures or own.keys() | {"Dice"}
            if own.keys() != measures:
                raise HermesError(
                    f"{where}: metrics has not {listed(sorted(measures))} of {key_of[task]} ({task}): {_REMEDY}"
                )
    return content


def validated_cases(path: Path) -> list[str]:
    """The cases that a summary.json is about.

    Raises:
        HermesError: it cannot be read.
    """
    return [case_of_entry(entry) for entry in _read(path)["metric_per_case"]]


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, _REMEDY)
    checked(_Summary, content, str(path), _REMEDY)
    return content


def validated_checkpoint(summary: Mapping[str, Any]) -> str:
    """Name of the checkpoint whose validation the content of a summary.json tells of."""
    return str(summary.get(VALIDATED_KEY, FINAL))


def summary_key(values: Sequence[int]) -> str:
    """The key under which nnU-Net's summary.json keeps a label or region."""
    return str(values[0]) if len(values) == 1 else str(tuple(values))


def case_of_entry(entry: Mapping[str, Any]) -> str:
    """The case that an entry of summary.json's metric_per_case is about."""
    return Path(entry["prediction_file"]).name.removesuffix(".nii.gz")


def dice_by_member(summary: Mapping[str, Any], collection: Collection) -> dict[str, CaseDice]:
    """Dice of every member's cases and annotated tasks, from the content of a summary.json in the collection's labels.

    Members are in the collection's order; those without a case are left out. A task that neither reference nor
    prediction shows has nan.
    """
    key_of = {task.name: summary_key(task.values) for task in collection.tasks}
    members: dict[str, CaseDice] = {name: {} for name in collection.members}
    for entry in summary["metric_per_case"]:
        case = case_of_entry(entry)
        annotated = collection.context_of(case).tasks
        members[collection.cases[case].member][case] = {
            task: entry["metrics"][key_of[task]]["Dice"] for task in annotated
        }
    return {name: cases for name, cases in members.items() if cases}


def dice_of_view(path: Path, tasks: Sequence[Task]) -> CaseDice:
    """Dice of a member's cases, from the summary.json of its view; none where that is not of the final checkpoint.

    Args:
        tasks: with the member's own label values.

    Raises:
        HermesError: the file cannot be read.
    """
    key_of = {task.name: summary_key(task.values) for task in tasks}
    found: CaseDice = {}
    summary = _read(path)
    for entry in summary["metric_per_case"] if validated_checkpoint(summary) == FINAL else ():
        metrics = entry["metrics"]
        found[case_of_entry(entry)] = {task: metrics.get(key, {}).get("Dice", math.nan) for task, key in key_of.items()}
    return found


def summary_of_cases(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """nnU-Net's summary.json of the entries of cases: their means, leaving out what is undefined."""
    metrics = [case["metrics"] for case in cases]
    mean = {
        key: {measure: mean_of_defined(own[key][measure] for own in metrics) for measure in measures}
        for key, measures in (metrics[0] if metrics else {}).items()
    }
    measures = list(next(iter(mean.values()), {}))
    foreground = {measure: mean_of_defined(values[measure] for values in mean.values()) for measure in measures}
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": list(cases)}


def restrict_summary(path: Path, collection: Collection, checkpoint: str = FINAL) -> dict[str, Any]:
    """Read nnU-Net's summary.json, and write it again if it judges a case by what this does not annotate.

    The voxels of an annotated region within another are the other's as well, though nobody drew the rest of that; the
    other may be a task of another member.

    Args:
        checkpoint: name of what was validated; noted in the file where it is not the final one.

    Raises:
        HermesError: see `read_summary`.
    """
    summary = read_summary(path, collection)
    key_of = {task.name: summary_key(task.values) for task in collection.tasks}
    cases, judged = [], False
    for entry in summary["metric_per_case"]:
        known = {key_of[task] for task in collection.context_of(case_of_entry(entry)).tasks}
        unknown = {key: values for key, values in entry["metrics"].items() if key not in known}
        judged = judged or any(not math.isnan(values.get("Dice", math.nan)) for values in unknown.values())
        undefined = {key: dict.fromkeys(values, math.nan) for key, values in unknown.items()}
        cases.append({**entry, "metrics": entry["metrics"] | undefined})
    note = {} if checkpoint == FINAL else {VALIDATED_KEY: checkpoint}
    if judged or note:
        summary = (summary_of_cases(cases) if judged else summary) | note
        write_json(summary, path)
    return summary


def write_member_dice(members: Mapping[str, CaseDice], folder: Path) -> None:
    """Write dice_by_member.json and dice_by_member.csv into `folder`; nan becomes null, or an empty field."""
    content = {
        "format_version": FORMAT_VERSION,
        "mean": _or_none(mean_of_defined(mean_dice(cases) for cases in members.values())),
        "members": {
            name: {
                "mean": _or_none(mean_dice(cases)),
                "cases": len(cases),
                "tasks": {task: _or_none(dice) for task, dice in mean_by_label(cases).items()},
            }
            for name, cases in members.items()
        },
    }
    write_json(content, folder / "dice_by_member.json")
    with written_beside(folder / "dice_by_member.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("member", "task", "cases", "dice"))
        for name, cases in members.items():
            for task, dice in mean_by_label(cases).items():
                writer.writerow(
                    (name, task, sum(task in own for own in cases.values()), "" if math.isnan(dice) else f"{dice:.6f}")
                )


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
