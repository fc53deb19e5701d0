"""Images and label images as data sets publish them."""

import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.images.nifti_headers import nifti_geometry
from hermes_nnunet.core.images.opening import is_gzip, load_nifti, open_bytes
from hermes_nnunet.core.images.writing import compressed, save_stored
from hermes_nnunet.core.reading import reading
from hermes_nnunet.data.conversion.voxel_mending import without_gaps
from hermes_nnunet.data.merge.record import Stamp, stamp
from hermes_nnunet.errors import HermesError

FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Attributes:
        shape: voxels along x, y, z.
        affine: (4, 4), voxel indices to mm in RAS.
        mended: the file's header says two spacings, and will say one.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    mended: bool = False


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

    def stamps(self, folder: Path) -> list[Stamp]:
        """Stamps of its files, named as they lie in `folder`; others as soon as its voxels may be others."""
        return [stamp(path, os.path.relpath(path, folder)) for path in self.files]

    def told(self, spacing_from: str | None) -> "Volume":
        """This volume, told what decides the spacing of NIfTI files whose headers say two, see `core.images`."""
        return self

    def voxels(self) -> np.ndarray:
        """All voxels (X, Y, Z)."""
        with reading(self.files[0]):
            return np.asanyarray(self.read().dataobj)

    def write(self, path: Path, *, link: bool) -> int:
        """Write it as compressed NIfTI, so that the file is whole or not there.

        Args:
            path: of the file to write, in a folder that is there.
            link: make a symbolic link instead where a file of the data set has the right bytes already.

        Returns:
            The number of voxels that were no numbers and had to be mended.
        """
        with reading(self.files[0]):
            image = self.read()
            voxels = np.asanyarray(image.dataobj)
        voxels, gaps = without_gaps(voxels, str(self.files[0]))
        if gaps:
            image = nibabel.Nifti1Image(voxels, image.affine, image.header)
        with written_beside(path) as temporary:
            nibabel.save(image, temporary)
        return gaps


@dataclass(frozen=True)
class NiftiVolume(Volume):
    """A NIfTI file of three dimensions, or one of the volumes that a file of four dimensions holds.

    Attributes:
        path: .nii or .nii.gz.
        index: along the fourth dimension; None for a file of three.
        spacing_from: what decides the spacing where the header says two.
    """

    path: Path
    index: int | None = None
    spacing_from: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def stamps(self, folder: Path) -> list[Stamp]:
        place = "" if self.index is None else f", volume {self.index}"
        return [[f"{name}{place}", *changes] for name, *changes in super().stamps(folder)]

    def told(self, spacing_from: str | None) -> "NiftiVolume":
        return replace(self, spacing_from=spacing_from)

    def grid(self) -> Grid:
        image, mended = self._open()
        return Grid(image.shape[:3], image.affine, mended)

    def read(self) -> nibabel.Nifti1Image:
        image, _ = self._open()
        with reading(self.path):
            return image if image.ndim == 3 else image.slicer[..., self.index or 0]

    def write(self, path: Path, *, link: bool) -> int:
        image, mended = self._open()
        proxy = cast(ArrayProxy, image.dataobj)
        with reading(self.path):
            # Reads all of it, which a copy of the bytes would not prove.
            stored = np.asanyarray(proxy.get_unscaled())
        stored = stored if image.ndim == 3 else stored[..., self.index or 0]
        stored, gaps = without_gaps(stored, str(self.path))
        if mended or gaps or image.ndim > 3:
            # A copy of the bytes, or a link, would keep what had to be mended.
            with written_beside(path) as temporary:
                save_stored(stored, image.header, proxy, temporary)
        elif self.path.name.endswith(FILE_ENDING) and is_gzip(self.path):
            with written_beside(path) as temporary:
                if link:
                    temporary.symlink_to(os.path.abspath(self.path))
                else:
                    shutil.copyfile(self.path, temporary)
        else:
            with written_beside(path) as temporary, open_bytes(self.path) as source, compressed(temporary) as target:
                shutil.copyfileobj(source, target)
        return gaps

    def _open(self) -> tuple[nibabel.Nifti1Image, bool]:
        """The file, and whether its header had to be mended."""
        with reading(self.path):
            image, header = load_nifti(self.path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise HermesError(f"{self.path} is no NIfTI file")
        if image.get_data_dtype().kind not in "iuf":
            raise HermesError(f"{self.path} stores voxels of type {image.get_data_dtype()}: expected numbers")
        volumes = image.shape[3] if image.ndim == 4 else 1
        if image.ndim not in (3, 4) or (self.index is None and volumes > 1):
            raise HermesError(f"{self.path} has shape {image.shape}: expected three dimensions")
        if (self.index or 0) >= volumes:
            raise HermesError(f"{self.path} has shape {image.shape}, and no volume {self.index} counted from 0")
        geometry, mended, *_ = nifti_geometry(header, image.shape[:3], str(self.path), self.spacing_from)
        if mended:
            header = image.header.copy()
            for name, value in geometry.header.items():
                header[name] = value
            image = type(image)(image.dataobj, geometry.affine, header)
        return image, mended
