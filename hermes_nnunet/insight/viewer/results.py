"""The cases of a folder that `hermes_nnunet predict` or nnUNetv2_predict has written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.core.images.endings import IMAGE_ENDINGS, split_ending
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.nnunet_files import read_dataset_json
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import Masks, ShownCase
from hermes_nnunet.prediction.finding import find_cases
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.model_folder import DATASET_FILE
from hermes_nnunet.prediction.run_record import RUN_FILE, runs_in
from hermes_nnunet.prediction.seg_nrrd import is_seg_nrrd
from hermes_nnunet.prediction.wishes import SEG_NRRD_ENDING

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Table:
    """What the segmentations of a folder hold.

    Attributes:
        files: mask of each task within the folder of a case; empty where the cases are label maps.
        channel: name of the first channel, where nothing else tells a modality.
        said: labels.json, where there is one.
    """

    labels: tuple[Label, ...]
    files: Mapping[str, str]
    channel: str | None = None
    said: LabelsFile | None = None


def cases_of_results(folder: Path, source: Path | None, references: Path | None) -> list[ShownCase]:
    """The cases of a folder of results, by name.

    Args:
        source: where the images are, as for `hermes_nnunet predict`; None takes what run.json says.
        references: folder of label maps, named like the cases; None for none.

    Raises:
        HermesError: there are no results, or not what was asked for beside them.
    """
    table = _table_in(folder)
    predictions = _masks(folder, table) if table.files else _label_maps(folder)
    if not predictions:
        raise HermesError(
            f"{folder} holds no segmentation to see (label maps {', '.join(IMAGE_ENDINGS)}, or a folder of masks for "
            "each case): give the folder that 'hermes_nnunet predict' or nnUNetv2_predict wrote"
        )
    reference_of = {} if references is None else _references(references, predictions)
    if source is None:
        images, gone = _recorded_images(folder)
    else:
        images, gone = {case.name: case for case in find_cases(source)}, {}
        if not images.keys() & predictions.keys():
            raise HermesError(f"{source} holds no image of a case in {folder}: give the folder that was predicted from")
    return [
        ShownCase(
            name=name,
            labels=table.labels,
            prediction=prediction,
            image=images.get(name),
            reference=reference_of.get(name),
            modality=(table.said.modality(name) if table.said else table.channel) or _UNKNOWN,
            expected_dice=table.said.expected_dice(name) if table.said else {},
            notes=() if name in images else (_no_image(name, folder, source, gone.get(name)),),
        )
        for name, prediction in predictions.items()
    ]


def _no_image(name: str, folder: Path, source: Path | None, gone: str | None) -> str:
    if source is not None:
        return f"The image is left out: {source} holds no case {name}."
    if gone is not None:
        return f"The image is left out: {gone}; name its folder with -i."
    return f"The image is left out: {folder / RUN_FILE} does not say where it is; name its folder with -i."


def _recorded_images(folder: Path) -> tuple[dict[str, ImageSource], dict[str, str]]:
    """Images by case, where the record of the runs says them; and why those are not to be had that are gone."""
    found: dict[str, ImageSource] = {}
    gone: dict[str, str] = {}
    for run in runs_in(folder):
        source = Path(run["input"])
        try:
            cases = {case.name: case for case in find_cases(source, run["options"].get("spacing_from"))}
        except HermesError as error:
            cases, problem = {}, str(error)
        else:
            problem = f"{source} has it no more"
        for name in run["cases"]:
            if name in cases:
                found[name] = cases[name]
            else:
                gone[name] = problem
    return found, gone


def _references(folder: Path, predictions: Mapping[str, Any]) -> dict[str, Path]:
    found = _label_maps(folder)
    if not found.keys() & predictions.keys():
        raise HermesError(f"{folder} holds no label map of a case: name its files like the cases")
    return found


def _label_maps(folder: Path) -> dict[str, Path]:
    """Label maps by case."""
    if not folder.is_dir():
        raise HermesError(f"{folder} is not a folder: give one")
    found = {}
    for path in sorted(folder.iterdir()):
        parts = split_ending(path.name)
        if parts is not None and path.is_file() and not path.name.startswith("."):
            found[path.name[: -len(SEG_NRRD_ENDING)] if is_seg_nrrd(path) else parts[0]] = path
    return found


def _masks(folder: Path, table: _Table) -> dict[str, Masks]:
    """Masks of each task, by case."""
    found: dict[str, Masks] = {}
    for path in sorted(folder.iterdir()):
        masks = {task: path / name for task, name in table.files.items()}
        if not path.name.startswith(".") and all(mask.is_file() for mask in masks.values()):
            found[path.name] = masks
    return found


def _table_in(folder: Path) -> _Table:
    """What labels.json says, or of nnUNetv2_predict dataset.json.

    Raises:
        HermesError: there is neither, or it is damaged.
    """
    table = LabelsFile.read(folder)
    if table is not None:
        path = folder / LABELS_FILE
        try:
            labels = tuple(_label(entry) for entry in table.labels)
            files = {entry["name"]: str(entry["file"]) for entry in table.labels if "file" in entry}
        except (KeyError, TypeError, ValueError) as error:
            raise HermesError(f"{path} is damaged ({error!r}): predict again") from None
        if any("/" in name or "\\" in name for name in files.values()):
            raise HermesError(f"{path} names a file of another folder: predict again")
        return _Table(labels, files, said=table)
    path = folder / DATASET_FILE
    if not path.is_file():
        raise HermesError(
            f"{folder} has neither {LABELS_FILE} nor {DATASET_FILE}, so what its values mean is not known: give a "
            "folder that 'hermes_nnunet predict' or nnUNetv2_predict wrote"
        )
    content = read_dataset_json(path, "predict again")
    try:
        values = foreground_values(content["labels"])
        written: Sequence[int] = content.get("regions_class_order") or [owned[0] for owned in values.values()]
        channel = str(next(iter(content["channel_names"].values())))
        labels = tuple(
            Label(name, value, owned, "", colour_of(place))
            for place, ((name, owned), value) in enumerate(zip(values.items(), written, strict=True))
        )
    except (TypeError, ValueError, StopIteration) as error:
        raise HermesError(f"{path} is damaged ({error!r}): predict again") from None
    return _Table(labels, {}, channel)


def _label(entry: Mapping[str, Any]) -> Label:
    label = Label(
        name=str(entry["name"]),
        value=int(entry["value"]),
        values=tuple(int(value) for value in entry["values"]),
        member=str(entry["member"]),
        colour=str(entry["colour"]),
    )
    assert len(label.rgb) == 3  # a colour that is none raises
    return label
