"""Images to segment: NIfTI files, DICOM series, or images in memory, all as the NIfTI files that nnU-Net reads."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel
from nibabel.spatialimages import SpatialImage

from hermes_nnunet.core.reading import reading
from hermes_nnunet.data.dicom.folder import ImageSeries
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name


@dataclass(frozen=True)
class ImageSource(ABC):
    """One case.

    Attributes:
        name: of the files that are written for it.

    Raises:
        HermesError: no file can have such a name.
    """

    name: str

    def __post_init__(self) -> None:
        check_file_name(self.name, "case")

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it comes from, for messages."""

    @property
    @abstractmethod
    def paths(self) -> tuple[Path, ...]:
        """The files that it is read from."""

    @abstractmethod
    def nifti_files(self, folder: Path) -> list[Path]:
        """A NIfTI file for each channel; where there are none yet, they are written to `folder`."""

    @abstractmethod
    def check(self) -> None:
        """Look at the headers.

        Raises:
            HermesError: this is not an image of three dimensions.
        """


@dataclass(frozen=True)
class NiftiSource(ImageSource):
    """NIfTI files, one a channel, named as nnU-Net names them where there are several."""

    files: tuple[Path, ...]

    @property
    def place(self) -> str:
        return str(self.files[0])

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.files

    def nifti_files(self, folder: Path) -> list[Path]:
        return list(self.files)

    def check(self) -> None:
        first = None
        for file in self.files:
            with reading(file):
                image = cast(SpatialImage, nibabel.load(file))
            if image.ndim != 3:
                raise HermesError(
                    f"{file} has {image.ndim} dimensions {image.shape}, but the model segments images of three: give "
                    f"{'one volume of it' if image.ndim > 3 else 'a volume'}"
                )
            first = first or image
            if image.shape != first.shape:
                raise HermesError(
                    f"{file} has {image.shape} voxels, {self.files[0].name} has {first.shape}: the channels of a case "
                    "must lie on the same voxels"
                )


@dataclass(frozen=True)
class DicomSource(ImageSource):
    """A DICOM series."""

    series: ImageSeries

    @property
    def volume(self) -> DicomVolume:
        return DicomVolume(self.series.paths)

    @property
    def place(self) -> str:
        return str(self.series.paths[0].parent)

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.series.paths

    def nifti_files(self, folder: Path) -> list[Path]:
        path = folder / f"{self.name}_0000.nii"
        nibabel.save(self.volume.read(), path)
        return [path]

    def check(self) -> None:
        self.volume.slices()


@dataclass(frozen=True)
class MemorySource(ImageSource):
    """Images in memory, one a channel."""

    images: tuple[nibabel.Nifti1Image, ...]

    @property
    def place(self) -> str:
        return "the image"

    @property
    def paths(self) -> tuple[Path, ...]:
        return ()

    def nifti_files(self, folder: Path) -> list[Path]:
        paths = [folder / f"{self.name}_{channel:04d}.nii" for channel in range(len(self.images))]
        for image, path in zip(self.images, paths, strict=True):
            nibabel.save(image, path)
        return paths

    def check(self) -> None:
        for image in self.images:
            if image.ndim != 3:
                raise HermesError(f"the image has {image.ndim} dimensions {image.shape}: the model takes three")
