"""Segmentations as DICOM objects on the series that was segmented."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.data.dicom.files import read_dicom
from hermes_nnunet.data.dicom.slices import Slice
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.wishes import DICOM_SEG
from hermes_nnunet.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset
    from rt_utils.utils import ROIData

_MAKER = "hermes_nnunet"
_DESCRIPTION = "Hermes segmentation"
_SERIES_NUMBER = 900
# How far a contour may be from a point that is left out of it.
_STRAIGHT_VOXELS = 1e-3


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
    except ImportError as error:
        package = "highdicom" if output_type == DICOM_SEG else "rt-utils"
        raise HermesError(
            f"{output_type} is written with {package} ({error}): pip install 'hermes-nnunet[dicom]'"
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
        HermesError: the series lacks what the object has to repeat.
    """
    datasets = [dataset for item in slices if (dataset := read_dicom(item.path)) is not None]
    _fill_in_uids(datasets)
    label_map = label_map.transpose(2, 1, 0)
    try:
        if output_type == DICOM_SEG:
            _write_seg(label_map, labels, datasets, path)
        else:
            _write_rtstruct(label_map, labels, slices, datasets, path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        where = slices[0].path.parent
        raise HermesError(f"{output_type} cannot be written for the series in {where} ({error})") from None


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
        name=_MAKER, version=__version__, family=codes.DCM.ArtificialIntelligence
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
        software_versions=__version__,
        device_serial_number="0",
        series_description=_DESCRIPTION,
    ).save_as(path)


def _segments(label_map: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Segment numbers (slices, rows, columns); one mask a segment (..., segments) where segments lie within others."""
    if any(len(label.values) > 1 for label in labels):
        return np.stack([np.isin(label_map, label.values) for label in labels], axis=-1)
    number_of = np.zeros(1 + max(label.value for label in labels), np.uint16)
    for number, label in enumerate(labels, start=1):
        number_of[label.value] = number
    return number_of[label_map]


def _write_rtstruct(
    label_map: np.ndarray, labels: Sequence[Label], slices: Sequence[Slice], datasets: Sequence["Dataset"], path: Path
) -> None:
    from rt_utils import ds_helper
    from rt_utils.utils import ROIData

    for dataset in datasets:
        for tag in ("StudyDate", "StudyTime", "StudyID"):
            if tag not in dataset:
                setattr(dataset, tag, "")
    structures = ds_helper.create_rtstruct_dataset(list(datasets))
    structures.Manufacturer = structures.ManufacturerModelName = structures.StructureSetLabel = _MAKER
    structures.InstitutionName = ""
    structures.SeriesDescription = _DESCRIPTION
    structures.SeriesNumber = _SERIES_NUMBER
    for number, label in enumerate(labels, start=1):
        # No mask: rt-utils would draw contours half a voxel too far inside.
        roi = ROIData(
            mask=None,
            color=list(label.rgb),
            number=number,
            name=label.name,
            frame_of_reference_uid=datasets[0].FrameOfReferenceUID,
            roi_generation_algorithm="AUTOMATIC",
        )
        structures.StructureSetROISequence.append(ds_helper.create_structure_set_roi(roi))
        structures.RTROIObservationsSequence.append(ds_helper.create_rtroi_observation(roi))
        structures.ROIContourSequence.append(_drawn_roi(np.isin(label_map, label.values), roi, slices, datasets))
    structures.save_as(path, enforce_file_format=True)


def _drawn_roi(mask: np.ndarray, roi: "ROIData", slices: Sequence[Slice], datasets: Sequence["Dataset"]) -> "Dataset":
    """The contours of a mask (slices, rows, columns); within another one they are a hole."""
    from pydicom import Dataset
    from rt_utils import ds_helper

    drawn = Dataset()
    drawn.ROIDisplayColor = roi.color
    drawn.ReferencedROINumber = roi.number
    drawn.ContourSequence = [
        ds_helper.create_contour(dataset, [f"{value:.3f}" for value in points.ravel()])
        for plane, item, dataset in zip(mask, slices, datasets, strict=True)
        for points in _contours(plane, item)
    ]
    for contour in drawn.ContourSequence:
        contour.NumberOfContourPoints = len(contour.ContourData) // 3
    return drawn


def _contours(mask: np.ndarray, item: Slice) -> Iterator[np.ndarray]:
    """Closed contours (points, 3) in mm (LPS) around a mask (rows, columns), halfway between its voxels and others."""
    from skimage.measure import approximate_polygon, find_contours

    if not mask.any():
        return
    along_row, down_column = np.array(item.orientation)
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        corners = approximate_polygon(contour, tolerance=_STRAIGHT_VOXELS)[:-1] - 1
        rows, columns = corners.T[:, :, None]
        yield np.array(item.position) + columns * item.spacing[1] * along_row + rows * item.spacing[0] * down_column
