"""Images to segment: image files, DICOM series, or images in memory, all as files that HermesImageIO reads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel

from hermes_nnunet.core.images.geometry import check_one_grid
from hermes_nnunet.core.images.opening import OpenImage, open_image
from hermes_nnunet.core.images.remarks import NO_SLICE, SLICE_COPY, Remark
from hermes_nnunet.core.images.writing import save_mended, save_on_grid
from hermes_nnunet.data.dicom.folder import ImageSeries
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_case_name


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
        check_case_name(self.name)

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it comes from, for messages."""

    @property
    @abstractmethod
    def paths(self) -> tuple[Path, ...]:
        """The files that it is read from."""

    @abstractmethod
    def image_files(self, folder: Path) -> list[Path]:
        """A file for each channel; where there are none that every reader understands alike, they go to `folder`."""

    @abstractmethod
    def check(self) -> tuple[Remark, ...]:
        """Look at the headers; what people should know of them.

        Raises:
            HermesError: this is not an image of three dimensions, or it does not say where it lies.
        """


@dataclass(frozen=True)
class FileSource(ImageSource):
    """Image files, one a channel, named as nnU-Net names them where there are several.

    Attributes:
        spacing_from: what decides the spacing where a header says two, see `core.images`.
    """

    files: tuple[Path, ...]
    spacing_from: str | None = None

    @property
    def place(self) -> str:
        return str(self.files[0])

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.files

    def image_files(self, folder: Path) -> list[Path]:
        if self.spacing_from is None:
            return list(self.files)
        files = []
        for channel, file in enumerate(self.files):
            image = open_image(file, self.spacing_from)
            if image.chosen:
                # Who reads the files does not know the choice.
                file = folder / f"{self.name}_{channel:04d}.nii"
                save_mended(image, file)
            files.append(file)
        return files

    def check(self) -> tuple[Remark, ...]:
        return _checked([open_image(file, self.spacing_from) for file in self.files])


@dataclass(frozen=True)
class DicomSource(ImageSource):
    """A DICOM series.

    Attributes:
        left_out: files that were looked at for slices and are none.
    """

    series: ImageSeries
    left_out: tuple[Path, ...] = ()

    @property
    def volume(self) -> DicomVolume:
        return DicomVolume(self.series.paths)

    @property
    def place(self) -> str:
        return str(self.series.paths[0].parent)

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.series.paths

    def image_files(self, folder: Path) -> list[Path]:
        path = folder / f"{self.name}_0000.nii"
        nibabel.save(self.volume.read(), path)
        return [path]

    def check(self) -> tuple[Remark, ...]:
        copies = self.volume.copies()
        remarks = [Remark(NO_SLICE, str(path)) for path in self.left_out]
        return (*remarks, *(Remark(SLICE_COPY, str(path)) for path in copies))


@dataclass(frozen=True)
class UnclearSource(ImageSource):
    """A folder of which it is not clear what the image is: a case that fails.

    Attributes:
        files: that are in question.
        reason: why, and what to do.
    """

    folder: Path
    files: tuple[Path, ...]
    reason: str

    @property
    def place(self) -> str:
        return str(self.folder)

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.files

    def image_files(self, folder: Path) -> list[Path]:
        raise HermesError(self.reason)

    def check(self) -> tuple[Remark, ...]:
        raise HermesError(self.reason)


@dataclass(frozen=True)
class MemorySource(ImageSource):
    """Images in memory, one a channel."""

    images: tuple[OpenImage, ...]

    @property
    def place(self) -> str:
        return "the image"

    @property
    def paths(self) -> tuple[Path, ...]:
        return ()

    def image_files(self, folder: Path) -> list[Path]:
        paths = [folder / f"{self.name}_{channel:04d}.nii" for channel in range(len(self.images))]
        for image, path in zip(self.images, paths, strict=True):
            save_on_grid(image.voxels(), path, image.geometry)
        return paths

    def check(self) -> tuple[Remark, ...]:
        # Their voxels are here already.
        return (*_checked(self.images), *(remark for image in self.images for remark in image.voxel_remarks()))


def _checked(images: Sequence[OpenImage]) -> tuple[Remark, ...]:
    check_one_grid({image.name: image.geometry for image in images})
    return tuple(remark for image in images for remark in image.remarks)
