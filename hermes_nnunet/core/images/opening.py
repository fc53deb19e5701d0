"""Open an image of any format, and say where its voxels lie before they are read."""

import gzip
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import FileBasedImage
from nibabel.openers import ImageOpener
from nibabel.spatialimages import SpatialImage

from hermes_nnunet.core.found_files import is_broken_link
from hermes_nnunet.core.images.endings import KNOWN, is_nifti, split_ending
from hermes_nnunet.core.images.geometry import Geometry, axis_lengths, check_plausible, is_usable
from hermes_nnunet.core.images.itk import itk_geometry, read_information, read_voxels, voxel_bytes, voxels_of
from hermes_nnunet.core.images.itk_headers import check_header
from hermes_nnunet.core.images.nifti_headers import NiftiGeometry, nifti_geometry
from hermes_nnunet.core.images.remarks import PADDING, Remark
from hermes_nnunet.core.images.voxels import EXTREME, image_voxels, is_small, label_voxels
from hermes_nnunet.core.reading import reading
from hermes_nnunet.core.shortages import broken_link_line
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from SimpleITK import Image as ItkImage

_ENOUGH_OF_A_HEADER = 1024
# GIPL's is looked at here, since ITK fills up what is missing with whatever is in memory.
_NEVER_COMPRESSED = ".gipl"
_GZIP = b"\x1f\x8b"
# gzip packs no file more tightly.
_MOST_COMPRESSED = 1032
# Below it, no voxel of 16 bits is extreme.
_HUGE_SLOPE = EXTREME / 2**17


@dataclass(frozen=True)
class OpenImage(ABC):
    """An image of three dimensions whose header has been read and checked.

    Attributes:
        name: for messages: the file, or "the image".
        geometry: where its voxels lie.
        mended: its header contradicts itself, so that others would read another geometry.
        chosen: `spacing_from` has decided between the two spacings that its header says.
        remarks: on how its header was read.
    """

    name: str
    geometry: Geometry
    mended: bool = field(default=False, kw_only=True)
    chosen: bool = field(default=False, kw_only=True)
    remarks: tuple[Remark, ...] = field(default=(), kw_only=True)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.geometry.shape

    @abstractmethod
    def stored(self) -> np.ndarray:
        """All voxels (X, Y, Z) in the image's units.

        Raises:
            HermesError: they cannot be read.
        """

    def voxels(self) -> np.ndarray:
        """All voxels (X, Y, Z) as float32, outside of the image with the lowest value inside.

        Raises:
            HermesError: they cannot be read, or are not all numbers.
        """
        return self._voxels[0]

    def labels(self) -> np.ndarray:
        """All voxels (X, Y, Z) of a label map, as they are stored but for rounding."""
        return label_voxels(self.stored())

    def voxel_remarks(self) -> tuple[Remark, ...]:
        """Remarks on what `voxels` gives."""
        return (Remark(PADDING, self.name),) if self._voxels[1] else ()

    def unscaled(self) -> tuple[np.ndarray, float, float]:
        """Voxels (X, Y, Z) in as few bytes as the file has, and the slope and intercept that make `voxels` of them.

        Raises:
            HermesError: as `voxels`.
        """
        return self.voxels(), 1.0, 0.0

    @cached_property
    def _voxels(self) -> tuple[np.ndarray, bool]:
        return image_voxels(self.stored(), self.name)


@dataclass(frozen=True)
class NiftiImage(OpenImage):
    """An image that nibabel has opened."""

    image: SpatialImage

    def stored(self) -> np.ndarray:
        with reading(self.name):
            return np.asanyarray(self.image.dataobj).reshape(self.shape)

    def voxel_remarks(self) -> tuple[Remark, ...]:
        return () if self._is_small else super().voxel_remarks()

    def unscaled(self) -> tuple[np.ndarray, float, float]:
        proxy = self.image.dataobj
        if not isinstance(proxy, ArrayProxy) or not self._is_small:
            return super().unscaled()
        with reading(self.name):
            return proxy.get_unscaled().reshape(self.shape), float(proxy.slope), float(proxy.inter)

    @property
    def _is_small(self) -> bool:
        """Whether a slope would make eight bytes of each voxel, and no extreme value, for it is not huge itself."""
        proxy = self.image.dataobj
        return (
            isinstance(proxy, ArrayProxy)
            and is_small(proxy.dtype)
            and max(abs(proxy.slope), abs(proxy.inter)) < _HUGE_SLOPE
        )


@dataclass(frozen=True)
class ItkFile(OpenImage):
    """A file that SimpleITK reads."""

    path: Path

    def stored(self) -> np.ndarray:
        return read_voxels(self.path)


@dataclass(frozen=True)
class Voxels(OpenImage):
    """Voxels in memory."""

    array: np.ndarray

    def stored(self) -> np.ndarray:
        return self.array


def open_image(path: Path, spacing_from: str | None = None) -> OpenImage:
    """Open a file of any format of IMAGE_ENDINGS.

    Args:
        spacing_from: decides where a header says two spacings, see `nifti_headers.nifti_geometry`.

    Raises:
        HermesError: it cannot be read, has not three dimensions, holds no real numbers, or does not say where it lies.
    """
    if split_ending(path.name) is None:
        raise HermesError(f"{path} is no image file ({KNOWN}): give one of these formats")
    if is_nifti(path):
        with reading(path):
            image, header = load_nifti(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise HermesError(f"{path} is no NIfTI file: give one, or name it by its own format ({KNOWN})")
        opened = _of_nifti(image, header, str(path), spacing_from)
        proxy = image.dataobj
        if isinstance(proxy, ArrayProxy):
            check_length(path, proxy.offset + math.prod(proxy.shape) * proxy.dtype.itemsize, opened.shape)
        return opened
    if is_broken_link(path):
        raise HermesError(broken_link_line(path))
    if not path.is_file():
        raise HermesError(f"{path} does not exist: correct its name")
    header = read_information(path)
    geometry = itk_geometry(header, str(path))
    check_length(path, voxel_bytes(header), geometry.shape)
    with reading(path):
        remarks = tuple(Remark(what, str(path)) for what in check_header(path))
    return ItkFile(str(path), geometry, path, remarks=remarks)


def read_geometry(path: Path) -> Geometry:
    """Where the voxels of a file lie: `open_image(path).geometry`, for which a file need not be held open.

    Raises:
        HermesError: as `open_image`.
    """
    if is_nifti(path):
        with reading(path):
            kind, start = _start_of(_held_open(path))
            if kind is not None:
                checked = _header(kind, start, check=True)
                shape, dtype = checked.get_data_shape(), checked.get_data_dtype()
        if kind is not None:
            return _nifti_geometry(shape, dtype, _header(kind, start), str(path), None)[0]
    return open_image(path).geometry


def open_nibabel(image: SpatialImage, name: str, spacing_from: str | None = None) -> OpenImage:
    """An image of nibabel, NIfTI or another kind.

    Raises:
        HermesError: as `open_image`.
    """
    if isinstance(image, nibabel.Nifti1Image):
        return _of_nifti(image, image.header, name, spacing_from)
    shape = _three(image.shape, name)
    check_numbers(image.get_data_dtype(), name)
    if image.affine is None:
        raise HermesError(f"{name} has no affine: give one that says where its voxels lie")
    return NiftiImage(name, in_space(shape, image.affine, name), image)


def open_array(array: Any, spacing: Any, name: str) -> OpenImage:
    """An array (X, Y, Z) whose axes run to the patient's right, front and head, with its spacing in mm.

    Raises:
        HermesError: as `open_image`.
    """
    try:
        lengths = np.array(spacing, dtype=float)
    except (TypeError, ValueError):
        lengths = np.empty(0)
    if lengths.shape != (3,) or not np.isfinite(lengths).all() or (lengths <= 0).any():
        raise HermesError(f"the spacing of an array is {spacing}: give three distances in mm, each above 0")
    voxels = np.asarray(array)
    check_numbers(voxels.dtype, name)
    shape = _three(voxels.shape, name)
    return Voxels(name, in_space(shape, np.diag([*lengths, 1.0]), name), voxels.reshape(shape))


def open_itk(image: "ItkImage", name: str) -> OpenImage:
    """An image of SimpleITK.

    Raises:
        HermesError: as `open_image`.
    """
    geometry = itk_geometry(image, name)
    _three(geometry.shape, name)
    return Voxels(name, geometry, voxels_of(image))


def in_space(shape: tuple[int, int, int], affine: np.ndarray, name: str) -> Geometry:
    """The geometry of an affine that nothing contradicts.

    Raises:
        HermesError: the affine is not usable, or no image can have it.
    """
    if not is_usable(affine):
        raise HermesError(f"{name} does not say where its voxels lie: its affine is flat or not of numbers")
    x, y, z = (float(length) for length in axis_lengths(affine))
    return check_plausible(Geometry(shape, np.asarray(affine, dtype=float), (x, y, z)), name)


def check_length(path: Path, size: int, shape: tuple[int, ...]) -> None:
    """See that a file can hold what its header promises, before memory is taken for it.

    Args:
        size: bytes of header and voxels, without compression.

    Raises:
        HermesError: it is too short.
    """
    length, name = path.stat().st_size, path.name.lower()
    if size <= length:
        return
    # A name is believed before the file is opened once more.
    plain = not (name.endswith(".gz") or is_gzip(path)) if is_nifti(path) else name.endswith(_NEVER_COMPRESSED)
    if plain or size > length * _MOST_COMPRESSED:
        raise HermesError(
            f"{path} cannot be read (it is cut short: {length} bytes cannot hold "
            f"{' x '.join(map(str, shape))} voxels): copy it again, or leave it out"
        )


def check_numbers(dtype: np.dtype, name: str) -> None:
    """Raises: HermesError where voxels of this type are not one real number each."""
    if dtype.kind not in "iufb":
        raise HermesError(f"{name} stores voxels of type {dtype}: give one real number for each voxel and channel")


def _of_nifti(
    image: nibabel.Nifti1Image, header: nibabel.Nifti1Header, name: str, spacing_from: str | None
) -> NiftiImage:
    geometry, mended, chosen, said = _nifti_geometry(image.shape, image.get_data_dtype(), header, name, spacing_from)
    remarks = tuple(Remark(what, name) for what in said)
    return NiftiImage(name, geometry, image, mended=mended, chosen=chosen, remarks=remarks)


def _nifti_geometry(
    shape: tuple[int, ...], dtype: np.dtype, header: nibabel.Nifti1Header, name: str, spacing_from: str | None
) -> NiftiGeometry:
    three = _three(shape, name)
    check_numbers(dtype, name)
    return nifti_geometry(header, three, name, spacing_from)


def load_nifti(path: Path) -> tuple[FileBasedImage, nibabel.Nifti1Header]:
    """What nibabel.load gives, and the header in the file.

    Unlike it, names such as a.Nii are read, of which it looks for a.nii, and files that are called .nii and compressed,
    or called .nii.gz and not.

    That of the image is another where the file has a spacing of 0: nibabel has put 1 there. The file is opened
    once, and stays open while the image may read it.
    """
    file = _held_open(path)
    kind, start = _start_of(file)
    if kind is None:
        file.close()
        image = nibabel.load(path, mmap=False)
        return image, image.header
    file.seek(0)
    image = kind.from_file_map(kind.make_file_map({"image": file}), mmap=False)
    return image, _header(kind, start)


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed where they are compressed."""
    return cast(BinaryIO, gzip.open(path) if is_gzip(path) else open(path, "rb"))


class _HeldOpen(ImageOpener):
    """A file that is closed when nothing has it any more."""

    def __del__(self) -> None:
        if hasattr(self, "fobj"):  # not where there is no such file
            self.close()


def _held_open(path: Path) -> _HeldOpen:
    """A file as its name says; opened once more where what is in it is compressed otherwise."""
    file = _HeldOpen(path)
    try:
        as_named = file.read(len(_GZIP)) != _GZIP
    except gzip.BadGzipFile:
        as_named = False
    if as_named:
        file.seek(0)
        return file
    file.close()
    return _HeldOpen(open_bytes(path))


def _start_of(file: ImageOpener) -> tuple[type[nibabel.Nifti1Image] | None, bytes]:
    """The kind of NIfTI that a file is, and its first bytes; None for another format."""
    start = file.read(_ENOUGH_OF_A_HEADER)
    kinds = (nibabel.Nifti1Image, nibabel.Nifti2Image)
    return next((kind for kind in kinds if kind.header_class.may_contain_header(start)), None), start


def _header(kind: type[nibabel.Nifti1Image], start: bytes, *, check: bool = False) -> nibabel.Nifti1Header:
    return kind.header_class(start[: kind.header_class.sizeof_hdr], check=check)


def _three(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """A shape of three dimensions, without ones behind them.

    Raises:
        HermesError: it has fewer or more, or no voxels.
    """
    length = len(shape)
    while length > 3 and shape[length - 1] == 1:
        length -= 1
    if length != 3:
        raise HermesError(
            f"{name} has {length} dimensions {tuple(shape)}, but images have three: give "
            f"{'one volume, or a file for each channel' if length > 3 else 'a volume'}"
        )
    if 0 in shape:
        raise HermesError(f"{name} has shape {tuple(shape)}, so no voxels: give another image")
    x, y, z = shape[:3]
    return x, y, z
