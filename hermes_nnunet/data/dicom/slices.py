"""Slices of a DICOM series in their order along the slice normal, and the grid that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.images.geometry import LPS_TO_RAS
from hermes_nnunet.core.images.opening import in_space
from hermes_nnunet.data.conversion import Grid
from hermes_nnunet.data.dicom.files import decoding, read_dicom
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from pydicom import Dataset

GEOMETRY_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_SIZE_TAGS = ("SamplesPerPixel", "BitsAllocated")
_PIXEL_TAGS = ("PhotometricInterpretation", "BitsStored", "HighBit", "ImageType", "ModalityLUTSequence")
_INVERTED = "MONOCHROME1"
_GREY = (_INVERTED, "MONOCHROME2", "")

# Share of the slice distance by which a slice may lie off the regular grid: scanners round positions.
_UNEVEN = 0.02
_SAME_POSITION_MM = 1e-3
_SHEAR_MM = 0.1
_ORIENTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Slice:
    """A file of a series and where it lies, in mm in DICOM's patient coordinates (LPS).

    Attributes:
        position: centre of the first voxel, (3,).
        orientation: unit vectors along a row and down a column, (2, 3).
        spacing: distance between rows, and between columns.
        shape: rows, columns.
        shown_inverted: viewers are to show low values bright; the values stay what they are.
    """

    path: Path
    position: tuple[float, ...]
    orientation: tuple[tuple[float, ...], tuple[float, ...]]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    shown_inverted: bool = False

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.orientation)

    @property
    def offset(self) -> float:
        """Where the slice lies along its normal."""
        return float(self.normal @ self.position)


def slice_of(dataset: "Dataset", path: Path) -> Slice:
    """The slice that a DICOM image of one frame describes.

    Raises:
        HermesError: it has several frames, or does not say where it lies.
    """
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise HermesError(f"{path} has several frames: convert it to one file a slice first")
    missing = [tag for tag in GEOMETRY_TAGS if dataset.get(tag) is None]
    if missing:
        raise HermesError(f"{path} has no {missing[0]}, so its place is unknown: leave it out")
    try:
        along_row, down_column = np.reshape(np.asarray(dataset.ImageOrientationPatient, dtype=float), (2, 3))
        position = tuple(float(value) for value in dataset.ImagePositionPatient)
        between_rows, between_columns = (float(value) for value in dataset.PixelSpacing)
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    except (TypeError, ValueError) as error:
        raise HermesError(f"{path} has a place or size that is not of numbers ({error}): leave it out") from None
    along_row = _direction(along_row, path)
    # Written with few digits, the two are not quite at right angles.
    down_column = _direction(down_column - (down_column @ along_row) * along_row, path)
    return Slice(
        path=path,
        position=position,
        orientation=(tuple(along_row.tolist()), tuple(down_column.tolist())),
        spacing=(between_rows, between_columns),
        shape=(rows, columns),
        shown_inverted=_text(dataset, "PhotometricInterpretation") == _INVERTED,
    )


def _text(dataset: "Dataset", tag: str) -> str:
    return str(dataset.get(tag) or "").strip()


def _check_pixels(dataset: "Dataset", path: Path) -> None:
    """See that each pixel is a measured value, stored in a way that is read rightly.

    Raises:
        HermesError: it is not.
    """
    kind = _text(dataset, "PhotometricInterpretation")
    if int(dataset.get("SamplesPerPixel") or 1) > 1 or kind not in _GREY:
        raise HermesError(f"{path} is a picture in colours ({kind}), which measure nothing: leave its series out")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise HermesError(f"{path} is a mosaic of many slices in one picture: convert it to NIfTI with dcm2niix first")
    if dataset.get("ModalityLUTSequence"):
        raise HermesError(f"{path} has a table of values (Modality LUT), which is not read: convert it to NIfTI first")
    stored, high = dataset.get("BitsStored"), dataset.get("HighBit")
    if None not in (stored, high) and int(high) != int(stored) - 1:
        raise HermesError(
            f"{path} has its {stored} bits not at the lower end of a pixel (HighBit {high}), which is not read: "
            "convert it to NIfTI first"
        )


def _direction(vector: np.ndarray, path: Path) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    if not 0 < length < np.inf:
        raise HermesError(f"{path} does not say where it lies: its orientation is flat or not of numbers; leave it out")
    return vector / length


def read_slice(path: Path) -> Slice:
    """The slice that a file holds.

    Raises:
        HermesError: it is no DICOM image of one frame with a place, has fewer bytes than pixels, or pixels that are no
            measured values or not read rightly.
    """
    dataset = read_dicom(path, tags=[*GEOMETRY_TAGS, *_SIZE_TAGS, *_PIXEL_TAGS, "NumberOfFrames"])
    if dataset is None:
        raise HermesError(f"{path} cannot be read as DICOM: copy it again, or leave it out")
    with decoding(path):
        found = slice_of(dataset, path)
        _check_pixels(dataset, path)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        samples, bits = (int(dataset.get(tag) or default) for tag, default in zip(_SIZE_TAGS, (1, 8), strict=True))
        is_plain = syntax is None or not (syntax.is_compressed or syntax.is_deflated)
    if is_plain:
        missing = found.shape[0] * found.shape[1] * samples * bits // 8 - path.stat().st_size
        if missing > 0:
            raise HermesError(f"{path} is cut short ({missing} bytes and more are missing): copy it again")
    return found


def in_order(slices: Sequence[Slice], where: str) -> list[Slice]:
    """The slices of one volume by their position along the normal, whatever order they came in.

    Raises:
        HermesError: they do not make a regular volume: fewer than two, of different sizes or orientations, two at one
            position, missing ones, uneven distances, or shifted against each other; or one that no image can have;
            `where` names the series.
    """
    if len(slices) < 2:
        raise HermesError(f"{where} has {len(slices)} slices: a volume needs at least two")
    first = slices[0]
    for other in slices[1:]:
        if other.shape != first.shape or not np.allclose(other.spacing, first.spacing, rtol=1e-4, atol=0):
            raise HermesError(
                f"{where}: {first.path.name} and {other.path.name} have different sizes or pixel spacings: leave one "
                "of the two kinds out"
            )
        if not np.allclose(other.orientation, first.orientation, rtol=0, atol=_ORIENTATION_TOLERANCE):
            raise HermesError(
                f"{where}: {first.path.name} and {other.path.name} have different orientations: leave one of the two "
                "kinds (a localizer?) out"
            )
    ordered = sorted(slices, key=lambda item: float(first.normal @ item.position))
    _check_regular(ordered, where)
    grid = grid_of(ordered)
    columns, rows, number = grid.shape
    in_space((columns, rows, number), grid.affine, where)
    return ordered


def _check_regular(ordered: Sequence[Slice], where: str) -> None:
    normal = ordered[0].normal
    positions = np.array([item.position for item in ordered])
    gaps = np.diff(positions @ normal)
    step = float(np.median(gaps))
    for index in np.flatnonzero(gaps < _SAME_POSITION_MM).tolist():
        raise HermesError(
            f"{where}: {ordered[index].path.name} and {ordered[index + 1].path.name} lie at the same position: leave "
            "one out, or take the images apart if they are of several time points or echoes"
        )
    for index in np.flatnonzero(np.abs(gaps - step) > _UNEVEN * step).tolist():
        between = f"between {ordered[index].path.name} and {ordered[index + 1].path.name}"
        times = gaps[index] / step
        if round(times) > 1 and abs(times - round(times)) <= _UNEVEN * times:
            raise HermesError(f"{where}: {round(times) - 1} slices are missing {between}: copy the series again")
        raise HermesError(
            f"{where}: slices lie {step:.4g} mm apart, but {gaps[index]:.4g} mm {between}: nnU-Net needs even "
            "distances, so leave the series out or resample it"
        )
    sheared = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    shift = float(np.linalg.norm(sheared, axis=1).max())
    if shift > _SHEAR_MM:
        raise HermesError(
            f"{where}: slices are shifted against each other by up to {shift:.4g} mm (a tilted gantry?): leave the "
            "series out or resample it"
        )


def grid_of(ordered: Sequence[Slice]) -> Grid:
    """The grid of slices in order: x along a row, y down a column, z along the normal."""
    first, last = ordered[0], ordered[-1]
    along_row, down_column = np.array(first.orientation)
    affine = np.eye(4)
    affine[:3, 0] = along_row * first.spacing[1]
    affine[:3, 1] = down_column * first.spacing[0]
    affine[:3, 2] = first.normal * (last.offset - first.offset) / (len(ordered) - 1)
    affine[:3, 3] = first.position
    return Grid((first.shape[1], first.shape[0], len(ordered)), LPS_TO_RAS @ affine)
