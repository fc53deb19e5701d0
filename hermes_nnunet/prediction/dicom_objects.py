"""Segmentations as DICOM objects on the series that was segmented."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import hermes_nnunet
from hermes_nnunet.dicom.slices import Slice
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.label_table import Label
from hermes_nnunet.prediction.wishes import DICOM_SEG

if TYPE_CHECKING:
    from pydicom import Dataset

_MAKER = "hermes_nnunet"
_SERIES_NUMBER = 900


def check_dicom_writers(output_type: str) -> None:
    """See that what a DICOM object is written with is installed.

    Raises:
        HermesError: it is not.
    """
    try:
        if output_type == DICOM_SEG:
            import highdicom  # noqa: F401
        else:
            import rt_utils  # noqa: F401
    except ImportError:
        raise HermesError(
            f"{output_type} is written with highdicom and rt-utils: pip install 'hermes-nnunet[dicom]'"
        ) from None


def write_dicom(
    output_type: str, label_map: np.ndarray, labels: Sequence[Label], slices: Sequence[Slice], path: Path
) -> None:
    """Write a DICOM SEG, or an RTSTRUCT of closed contours.

    Args:
        label_map: (columns, rows, slices) of the series.
        labels: the segments, in this order.
        slices: of the series, in order.

    Raises:
        HermesError: the series lacks what the object has to repeat, or its pixels are not square (RTSTRUCT).
    """
    from pydicom import dcmread

    datasets = [dcmread(item.path, stop_before_pixels=True) for item in slices]
    _fill_in_uids(datasets)
    write = _write_seg if output_type == DICOM_SEG else _write_rtstruct
    try:
        write(label_map.transpose(2, 1, 0), labels, datasets, path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise HermesError(
            f"{slices[0].path.parent}: {output_type} cannot be written for this series ({error})"
        ) from None


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


def _write_seg(label_map: np.ndarray, labels: Sequence[Label], datasets: Sequence["Dataset"], path: Path) -> None:
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_MAKER, version=hermes_nnunet.__version__, family=codes.DCM.ArtificialIntelligence
    )
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label.name[:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.AnatomicalStructure,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*label.rgb),
        )
        for number, label in enumerate(labels, start=1)
    ]
    highdicom.seg.Segmentation(
        source_images=datasets,
        pixel_array=_segments(label_map, labels),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=hermes_nnunet.__version__,
        device_serial_number="0",
        series_description="Hermes segmentation",
    ).save_as(path)


def _segments(label_map: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Segment numbers (slices, rows, columns); one mask a segment (..., segments) where segments lie within others."""
    if any(len(label.values) > 1 for label in labels):
        return np.stack([np.isin(label_map, label.values) for label in labels], axis=-1)
    number_of = np.zeros(1 + max(label.value for label in labels), np.uint16)
    for number, label in enumerate(labels, start=1):
        number_of[label.value] = number
    return number_of[label_map]


def _write_rtstruct(label_map: np.ndarray, labels: Sequence[Label], datasets: Sequence["Dataset"], path: Path) -> None:
    from rt_utils import RTStruct, ds_helper

    row_spacing, column_spacing = datasets[0].PixelSpacing
    if row_spacing != column_spacing:
        raise HermesError(f"{datasets[0].filename}: rt-utils writes square pixels only: use --output-type dicom_seg")
    for dataset in datasets:
        for tag in ("StudyDate", "StudyTime", "StudyID"):
            if tag not in dataset:
                setattr(dataset, tag, "")
    structures = RTStruct(list(datasets), ds_helper.create_rtstruct_dataset(list(datasets)))
    for label in labels:
        mask = np.isin(label_map, label.values).transpose(1, 2, 0)
        structures.add_roi(mask=mask, color=list(label.rgb), name=label.name)
    structures.save(str(path))
