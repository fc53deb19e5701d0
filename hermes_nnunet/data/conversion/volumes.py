"""Images and label images as data sets publish them."""

import gzip
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.reading import reading
from hermes_nnunet.errors import HermesError

FILE_ENDING = ".nii.gz"

# As nibabel compresses: images hardly get smaller above it, and it is much faster.
_COMPRESSION = 1


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Attributes:
        shape: voxels along x, y, z.
        affine: (4, 4), voxel indices to mm in RAS.
    """

    shape: tuple[int, ...]
    affine: np.ndarray


class Volume(ABC):
    """Voxels with their place in space, in one or more files of a data set.

    A volume goes to other processes: make it a frozen dataclass at the top level of its module, that holds paths and
    no voxels. Every problem is raised as a HermesError of one line that names the file.
    """

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All files that it is made of; whether they are there is checked by others."""

    @abstractmethod
    def grid(self) -> Grid:
        """Its grid, from headers only."""

    @abstractmethod
    def read(self) -> nibabel.Nifti1Image:
        """The image (X, Y, Z) in the units of the data set."""

    def voxels(self) -> np.ndarray:
        """All voxels (X, Y, Z)."""
        with reading(self.files[0]):
            return np.asanyarray(self.read().dataobj)

    def write(self, path: Path, *, link: bool) -> None:
        """Write it as compressed NIfTI, so that the file is whole or not there.

        Args:
            path: of the file to write, in a folder that is there.
            link: make a symbolic link instead where a file of the data set has the right bytes already.
        """
        with reading(self.files[0]):
            image = self.read()
            voxels = np.asanyarray(image.dataobj)
        _check_finite(voxels, self.files[0])
        with written_beside(path) as temporary:
            nibabel.save(image, temporary)


@dataclass(frozen=True)
class NiftiVolume(Volume):
    """A NIfTI file of three dimensions, or one of the volumes that a file of four dimensions holds.

    Attributes:
        path: .nii or .nii.gz.
        index: along the fourth dimension; None for a file of three.
    """

    path: Path
    index: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def grid(self) -> Grid:
        image = self._open()
        return Grid(image.shape[:3], image.affine)

    def read(self) -> nibabel.Nifti1Image:
        image = self._open()
        with reading(self.path):
            return image if image.ndim == 3 else image.slicer[..., self.index or 0]

    def write(self, path: Path, *, link: bool) -> None:
        image = self._open()
        proxy = cast(ArrayProxy, image.dataobj)
        with reading(self.path):
            # Reads all of it, which a copy of the bytes would not prove.
            stored = np.asanyarray(proxy.get_unscaled())
        _check_finite(stored, self.path)
        if image.ndim == 3 and self.path.name.endswith(FILE_ENDING):
            with written_beside(path) as temporary:
                if link:
                    temporary.symlink_to(os.path.abspath(self.path))
                else:
                    shutil.copyfile(self.path, temporary)
        elif image.ndim == 3:
            with written_beside(path) as temporary, open(self.path, "rb") as source, _compressed(temporary) as target:
                shutil.copyfileobj(source, target)
        else:
            _write_stored(stored[..., self.index or 0], image.header, proxy, path)

    def _open(self) -> nibabel.Nifti1Image:
        with reading(self.path):
            image = nibabel.load(self.path, mmap=False)
        if not isinstance(image, nibabel.Nifti1Image):
            raise HermesError(f"{self.path} is no NIfTI file")
        if image.get_data_dtype().kind not in "iuf":
            raise HermesError(f"{self.path} stores voxels of type {image.get_data_dtype()}: expected numbers")
        volumes = image.shape[3] if image.ndim == 4 else 1
        if image.ndim not in (3, 4) or (self.index is None and volumes > 1):
            raise HermesError(f"{self.path} has shape {image.shape}: expected three dimensions")
        if (self.index or 0) >= volumes:
            raise HermesError(f"{self.path} has shape {image.shape}, and no volume {self.index} counted from 0")
        return image


def _check_finite(voxels: np.ndarray, path: Path) -> None:
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise HermesError(f"{path} holds NaN or infinite voxels")


@contextmanager
def _compressed(path: Path) -> Iterator[BinaryIO]:
    """A gzip file to write, with the same bytes for the same content at any time and place."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=raw, mtime=0) as compressed,
    ):
        yield cast(BinaryIO, compressed)


def _write_stored(stored: np.ndarray, header: nibabel.Nifti1Header, proxy: ArrayProxy, path: Path) -> None:
    """Write voxels as they are stored, without scaling them back and forth, under their file's own header."""
    header = header.copy()
    header.set_data_shape(stored.shape)
    header["vox_offset"] = header.single_vox_offset
    header["scl_slope"], header["scl_inter"] = proxy.slope, proxy.inter
    with written_beside(path) as temporary, _compressed(temporary) as target:
        target.write(header.binaryblock)
        target.write(bytes(header.single_vox_offset - header.sizeof_hdr))
        target.write(np.asarray(stored, header.get_data_dtype()).tobytes(order="F"))
