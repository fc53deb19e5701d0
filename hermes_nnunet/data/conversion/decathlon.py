"""Tasks of the Medical Segmentation Decathlon: one layout, and a dataset.json that names labels and channels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from hermes_nnunet.core.files import read_json
from hermes_nnunet.data.conversion.converter import Converter, SourceCase, nothing_found
from hermes_nnunet.data.conversion.finding import files_by_key, nifti_pairs
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import Text, checked, must_be

_REMEDY = "give the folder of a task, such as Task07_Pancreas, with its dataset.json"


_Number = Annotated[Text, Field(pattern="^[0-9]{1,9}$"), must_be("a number, as text")]


class _Image(TypedDict):
    image: Text


class _Task(TypedDict):
    """The Decathlon's dataset.json."""

    name: Text
    labels: dict[_Number, Text]
    modality: dict[_Number, Text]
    training: list[_Image]


def decathlon_converter(
    name: str,
    *,
    task: str | None,
    cases: int | None = None,
    channels: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
) -> Converter:
    """Converter of a task, whose channels and labels are those that the task's dataset.json names.

    Args:
        name: of the converter.
        task: the task's name in its dataset.json; None for any.
        cases: number of labelled cases, for the list of converters.
        channels: names, for the list of converters.
        labels: names, for the list of converters.
    """
    listed = Converter(
        name=name,
        title=f"Medical Segmentation Decathlon, {task or 'any task'}",
        dataset=f"MSD_{task or 'Task'}",
        modalities=channels,
        channels=channels,
        labels=labels,
        cases=cases,
        home="http://medicaldecathlon.com",
        licence="CC BY-SA 4.0",
        reference="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
        release="2018",
        layout=("dataset.json", "imagesTr/<case>.nii.gz, labelsTr/<case>.nii.gz", "imagesTs/<case>.nii.gz"),
        find_cases=lambda source: _find_cases(source, len(channels)),
    )
    return replace(listed, resolve=lambda source: _resolved(listed, source, task))


def _resolved(converter: Converter, source: Path, task: str | None) -> Converter:
    path = _task_folder(source) / "dataset.json"
    content = read_json(path, _REMEDY)
    checked(_Task, content, str(path), _REMEDY)
    title = content["name"]
    labels = _by_number(content["labels"])
    channels = tuple(_by_number(content["modality"]).values())
    training = tuple(_case_name(entry["image"]) for entry in content["training"])
    if task is not None and title.lower() != task.lower():
        raise HermesError(f"{path} is of the task {title}, not {task}: use 'hermes_nnunet convert msd'")
    names = {value: name for value, name in labels.items() if value != 0}
    return replace(
        converter,
        title=f"Medical Segmentation Decathlon, {title}",
        dataset=converter.dataset if task is not None else "MSD_" + re.sub(r"\W+", "_", title),
        modalities=channels,
        channels=channels,
        labels=tuple(names.values()),
        values=names,
        cases=len(training),
        published=training,
        release=str(content.get("release", converter.release)),
        find_cases=lambda folder: _find_cases(folder, len(channels)),
    )


def _task_folder(source: Path) -> Path:
    """The folder with dataset.json: `source`, or the only one in it that has one, as archives unpack."""
    if not (source / "dataset.json").is_file():
        inner = [path.parent for path in source.glob("*/dataset.json") if not path.parent.name.startswith(("_", "."))]
        if len(inner) == 1:
            return inner[0]
    return source


def _by_number(names: Mapping[str, Any]) -> dict[int, str]:
    return {int(number): str(names[number]) for number in sorted(names, key=int)}


def _case_name(path: str) -> str:
    return Path(path).name.removesuffix(".gz").removesuffix(".nii")


def _find_cases(source: Path, channels: int) -> Sequence[SourceCase]:
    images, labels, tests = (
        files_by_key(_task_folder(source), rf"{folder}/(.+?)\.nii(?:\.gz)?")
        for folder in ("imagesTr", "labelsTr", "imagesTs")
    )
    if not labels:
        raise nothing_found(source, "labelsTr/<case>.nii.gz")
    return nifti_pairs(images, labels, lambda name: {"name": name}, unlabelled=tests, channels=channels)
