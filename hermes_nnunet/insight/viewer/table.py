"""What the values of a folder's segmentations mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.core.label_values import IGNORE, foreground_values
from hermes_nnunet.core.nnunet_files import read_dataset_json
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.model_folder import DATASET_FILE


@dataclass(frozen=True)
class Table:
    """What the segmentations of a folder hold.

    Attributes:
        files: mask of each task within the folder of a case; empty where the cases are label maps.
        channel: name of the first channel, where nothing else tells a modality.
        ignored: value of voxels that a label map says nothing of.
        said: labels.json, where there is one.
    """

    labels: tuple[Label, ...]
    files: Mapping[str, str]
    channel: str | None = None
    ignored: int | None = None
    said: LabelsFile | None = None


def table_in(folder: Path) -> Table:
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
        return Table(labels, files, said=table)
    path = folder / DATASET_FILE
    if not path.is_file():
        raise HermesError(
            f"{folder} has neither {LABELS_FILE} nor {DATASET_FILE}, so what its values mean is not known: give a "
            "folder that 'hermes_nnunet predict' or nnUNetv2_predict wrote"
        )
    return _table_of_dataset(path, "predict again")


def table_of_references(folder: Path) -> tuple[Path, Table] | None:
    """What is said of label maps, and the file that says it: one beside them, or dataset.json of their data set.

    None where nothing is said.

    Raises:
        HermesError: that file is damaged.
    """
    if (folder / LABELS_FILE).is_file():
        return folder / LABELS_FILE, table_in(folder)
    places = (folder / DATASET_FILE, folder.absolute().parent / DATASET_FILE)
    place = next((place for place in places if place.is_file()), None)
    return None if place is None else (place, _table_of_dataset(place, "mend it, or move the label maps"))


def _table_of_dataset(path: Path, remedy: str) -> Table:
    content = read_dataset_json(path, remedy)
    try:
        values = foreground_values(content["labels"])
        written: Sequence[int] = content.get("regions_class_order") or [owned[0] for owned in values.values()]
        channel = str(next(iter(content["channel_names"].values())))
        labels = tuple(
            Label(name, value, owned, "", colour_of(place))
            for place, ((name, owned), value) in enumerate(zip(values.items(), written, strict=True))
        )
    except (TypeError, ValueError, StopIteration) as error:
        raise HermesError(f"{path} is damaged ({error!r}): {remedy}") from None
    return Table(labels, {}, channel, content["labels"].get(IGNORE))


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
