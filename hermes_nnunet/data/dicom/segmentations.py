"""Segments of a DICOM SEG as masks on the grid of the series that was segmented."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.images.geometry import LPS_TO_RAS
from hermes_nnunet.data.conversion import Grid
from hermes_nnunet.data.dicom.files import read_dicom
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from highdicom import VolumeGeometry
    from pydicom import Dataset

_GEOMETRY_TOLERANCE_MM = 1e-3
# Of a fractional segmentation.
_PART_THAT_COUNTS = 0.5


def segment_numbers(dataset: "Dataset") -> dict[str, int]:
    """Label of every segment -> its number.

    Raises:
        HermesError: two segments have one label.
    """
    numbers: dict[str, int] = {}
    for segment in dataset.get("SegmentSequence", ()):
        label = str(segment.SegmentLabel).strip()
        if label in numbers:
            raise HermesError(f"two segments are named '{label}'")
        numbers[label] = int(segment.SegmentNumber)
    return numbers


def segment_masks(path: Path, names: Sequence[str], grid: Grid) -> Iterator[np.ndarray]:
    """Mask (X, Y, Z) of each segment; a segmentation of a part of the grid is set into it.

    Raises:
        HermesError: highdicom is not installed, the segmentation cannot be read, or it is not on the grid's voxels.
    """
    try:
        import highdicom
    except ImportError:
        raise HermesError("DICOM SEG needs highdicom: pip install 'hermes-nnunet[dicom]'") from None
    try:
        dataset = read_dicom(path, pixels=True)
        segmentation = highdicom.seg.Segmentation.from_dataset(dataset, copy=False)
        numbers = segment_numbers(segmentation)
        for name in names:
            volume = segmentation.get_volume(segment_numbers=[numbers[name]])
            parts = volume.with_array(volume.array[..., 0] >= _PART_THAT_COUNTS)
            matched = parts.match_geometry(_geometry_of(grid), tol=_GEOMETRY_TOLERANCE_MM)
            if matched.array.sum() != parts.array.sum():
                raise HermesError(f"'{name}' reaches beyond the series")
            yield matched.array.transpose(2, 1, 0)
    except (RuntimeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise HermesError(f"its segments cannot be laid on the voxels of the series ({reason})") from None


def _geometry_of(grid: Grid) -> "VolumeGeometry":
    """The grid in highdicom's order: slices, rows, columns."""
    from highdicom import VolumeGeometry

    affine = LPS_TO_RAS @ grid.affine
    return VolumeGeometry(affine[:, [2, 1, 0, 3]], grid.shape[::-1], coordinate_system="PATIENT")
