"""The data set that pseudo-labels are written as: its place, its labels, and the record of what made it."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import Collection, Labels, Task, case_identifier
from hermes_nnunet.core.label_values import IGNORE
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RAW, RESULTS, datasets_with_id, optional_folder
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.annotation import ANNOTATED_KEY, PSEUDO_LABELS_KEY
from hermes_nnunet.data.merge.specification import check_id, check_task_word, check_word
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.names import label_of
from hermes_nnunet.prediction.pseudo_labels.thresholds import Thresholds

FORMAT_VERSION = 1
FILE_ENDING = ".nii.gz"
LABELS_FOLDER = "labelsTr"


@dataclass(frozen=True)
class OwnLabels:
    """Labels of the new data set.

    Attributes:
        names: task -> label.
        values: label value of the collection -> value here.
        ignore: where the model is not sure.
        labels: as dataset.json has them.
        regions_class_order: None without regions.
    """

    names: dict[str, str]
    values: dict[int, int]
    ignore: int
    labels: Labels
    regions_class_order: list[int] | None


def own_labels(tasks: Sequence[Task]) -> OwnLabels:
    """Labels of tasks, in the order of the pool; values count from 1, ignore is above them.

    Raises:
        HermesError: a task has a name that no label can have.
    """
    words = [label_of(task.name) for task in tasks]
    names = {
        task.name: word if words.count(word) == 1 else task.name.replace("/", "_")
        for task, word in zip(tasks, words, strict=True)
    }
    for name in names.values():
        check_task_word(name, "label", "name other tasks with --tasks")
    values = {value: own for own, value in enumerate(sorted({v for task in tasks for v in task.values}), start=1)}
    regions = any(len(task.values) > 1 for task in tasks)
    labels: Labels = {"background": 0}
    for task in tasks:
        own = [values[value] for value in task.values]
        labels[names[task.name]] = own if len(own) > 1 else own[0]
    ignore = len(values) + 1
    labels[IGNORE] = ignore
    order = [values[task.written_value] for task in tasks] if regions else None
    return OwnLabels(names, values, ignore, labels, order)


def free_place(raw: Path, number: int, name: str) -> Path:
    """Folder of a data set that is not there yet.

    Raises:
        HermesError: the id is taken in one of nnU-Net's folders, or id or name are not possible.
    """
    check_id(number, "id of the data set")
    check_word(name, "name of the data set")
    for variable in (RAW, PREPROCESSED, RESULTS):
        folder = optional_folder(variable)
        taken = [] if folder is None else datasets_with_id(folder, number)
        if taken:
            raise HermesError(f"id {number} is taken by {listed(taken)} in {variable}={folder}: choose another --into")
    return raw / f"Dataset{number:03d}_{name}"


def dataset_json(
    folder: Path,
    own: OwnLabels,
    images: Mapping[str, Sequence[Path]],
    tasks_of: Mapping[str, Sequence[str]],
    model: ModelFolder,
    thresholds: Mapping[str, Thresholds],
    confidence: float,
) -> dict[str, Any]:
    """Content of dataset.json.

    Args:
        folder: of the data set in nnUNet_raw.
        own: its labels.
        images: by case; they stay where they are.
        tasks_of: case -> tasks that were asked for there.
        model: that made the labels.
        thresholds: by task.
        confidence: that the thresholds were chosen for.
    """
    some = {
        case: [own.names[task] for task in own.names if task in tasks]
        for case, tasks in tasks_of.items()
        if set(tasks) != set(own.names)
    }
    content: dict[str, Any] = {
        "name": folder.name,
        "channel_names": model.dataset_json["channel_names"],
        "labels": own.labels,
        "numTraining": len(images),
        "file_ending": FILE_ENDING,
        "dataset": {
            case: {
                "images": [_reference(path, folder) for path in paths],
                "label": f"{LABELS_FOLDER}/{case}{FILE_ENDING}",
            }
            for case, paths in images.items()
        },
        PSEUDO_LABELS_KEY: {
            "format_version": FORMAT_VERSION,
            "model": f"{model.plans['dataset_name']}/{model.path.name}",
            "folds": list(model.folds),
            "confidence": confidence,
            "labels": {name: {"task": task, **asdict(thresholds[task])} for task, name in own.names.items()},
            "versions": package_versions(),
        },
    }
    if own.regions_class_order is not None:
        content["regions_class_order"] = own.regions_class_order
    if some:
        content[ANNOTATED_KEY] = some
    return content


def _reference(path: Path, folder: Path) -> str:
    """Relative where raw data sets can be moved together."""
    return os.path.relpath(path, folder) if path.is_relative_to(folder.parent) else str(path)


def merge_lines(dataset: str, collection: Collection, own: OwnLabels, cases: Sequence[str]) -> list[str]:
    """What to write into the next merge file.

    Args:
        dataset: name of the new data set's folder.
        collection: that the model was trained on.
        own: labels of the new data set.
        cases: its cases, which have the names that they have in the collection.
    """
    name = dataset.partition("_")[2]
    patterns = [f"{modality}: {_quoted(pattern)}" for modality, pattern in _patterns(collection, cases).items()]
    of_member = f"{{{', '.join(patterns)}}}" if len(patterns) > 1 else collection.cases[cases[0]].modality
    lines = ["members:", f"  - {{dataset: {dataset}, modality: {of_member}}}", "shared_tasks:"]
    for task, label in own.names.items():
        address = f"{name}/{label}"
        owners = [member for member, entry in collection.members.items() if task in entry.tasks]
        if task == f"{owners[0]}/{label_of(task)}":
            lines.append(f"  {label}: [{task}, {address}]")
        else:
            lines.append(f"  {task}: [..., {address}]  # beside what is shared already")
    return lines


def _patterns(collection: Collection, cases: Sequence[str]) -> dict[str, str]:
    """Modality -> a regular expression that the names of its cases match, and no others."""
    of_members: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        entry = collection.cases[case]
        of_members.setdefault(entry.member, {}).setdefault(entry.modality, []).append(case)
    parts: dict[str, list[str]] = {}
    for member, modalities in of_members.items():
        beginning = re.escape(case_identifier(member, ""))
        for modality, own in modalities.items():
            if len(modalities) == 1:
                pattern = f"^{beginning}"
            elif collection.members[member].channels.get(modality) is not None:  # each channel is a case of its own
                pattern = f"^{beginning}.*{re.escape(case_identifier('', modality))}$"
            else:
                pattern = f"^({'|'.join(map(re.escape, own))})$"
            parts.setdefault(modality, []).append(pattern)
    return {modality: "|".join(own) for modality, own in parts.items()}


def _quoted(text: str) -> str:
    """As a string of YAML."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
