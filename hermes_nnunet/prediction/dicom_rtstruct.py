"""Segmentations as DICOM RTSTRUCT."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.data.dicom.slices import Slice
from hermes_nnunet.prediction.dicom_objects import DESCRIPTION, MAKER, SERIES_NUMBER

if TYPE_CHECKING:
    from pydicom import Dataset
    from rt_utils.utils import ROIData

# How far a contour may be from a point that is left out of it.
_STRAIGHT_VOXELS = 1e-3


def write(
    label_map: np.ndarray, labels: Sequence[Label], slices: Sequence[Slice], datasets: Sequence["Dataset"], path: Path
) -> None:
    """Write an RTSTRUCT of closed contours.

    Args:
        label_map: (slices, rows, columns) of the series.
        labels: the structures, in this order.
        slices: of the series, in order.
        datasets: headers of the slices.
    """
    from rt_utils import ds_helper
    from rt_utils.utils import ROIData

    for dataset in datasets:
        for tag in ("StudyDate", "StudyTime", "StudyID"):
            if tag not in dataset:
                setattr(dataset, tag, "")
    structures = ds_helper.create_rtstruct_dataset(list(datasets))
    structures.Manufacturer = structures.ManufacturerModelName = structures.StructureSetLabel = MAKER
    structures.InstitutionName = ""
    structures.SeriesDescription = DESCRIPTION
    structures.SeriesNumber = SERIES_NUMBER
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
