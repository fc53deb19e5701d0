"""Segmentations as DICOM objects on the series that was segmented."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.data.dicom.files import read_dicom
from hermes_nnunet.data.dicom.slices import Slice
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS

if TYPE_CHECKING:
    from pydicom import Dataset

MAKER = "hermes_nnunet"
DESCRIPTION = "Hermes segmentation"
SERIES_NUMBER = 900


def check_dicom_writers(output_type: str) -> None:
    """See that what a DICOM object is written with is installed.

    Raises:
        HermesError: it is not.
    """
    package = DICOM_OBJECTS[output_type].package
    try:
        import_module(package.replace("-", "_"))
    except ImportError as error:
        raise HermesError(
            f"{output_type} is written with {package} ({error}): pip install 'hermes-nnunet[dicom]'"
        ) from None


def write_dicom(
    output_type: str, label_map: np.ndarray, labels: Sequence[Label], slices: Sequence[Slice], path: Path
) -> None:
    """Write a DICOM object of DICOM_OBJECTS.

    Args:
        label_map: (columns, rows, slices) of the series.
        labels: the segments, in this order.
        slices: of the series, in order.

    Raises:
        HermesError: the series lacks what the object has to repeat.
    """
    datasets = [_again(item.path) for item in slices]
    _fill_in_uids(datasets)
    label_map = label_map.transpose(2, 1, 0)
    try:
        import_module(DICOM_OBJECTS[output_type].writer).write(label_map, labels, slices, datasets, path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        where = slices[0].path.parent
        raise HermesError(f"{output_type} cannot be written for the series in {where} ({error})") from None


def _again(path: Path) -> "Dataset":
    """A file that was read as a slice before."""
    dataset = read_dicom(path)
    if dataset is None:
        raise HermesError(f"{path} is no DICOM file any more: leave the series as it is until its results are written")
    return dataset


def _fill_in_uids(datasets: Sequence["Dataset"]) -> None:
    """Give uids to a series that lost them when it was made anonymous: a slice's are still in its file's header."""
    from pydicom.uid import generate_uid

    made = {tag: generate_uid() for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for dataset in datasets:
        header = dataset.file_meta
        found = {
            "SOPClassUID": header.get("MediaStorageSOPClassUID"),
            "SOPInstanceUID": header.get("MediaStorageSOPInstanceUID"),
            **made,
        }
        for tag, uid in found.items():
            if not dataset.get(tag):
                setattr(dataset, tag, uid)
