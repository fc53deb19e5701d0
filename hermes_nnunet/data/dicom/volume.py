"""A DICOM series as a volume of a converter."""

import filecmp
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.data.conversion import Grid, Volume
from hermes_nnunet.data.dicom.files import decoding, read_dicom
from hermes_nnunet.data.dicom.slices import Slice, grid_of, in_order, read_slice
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class DicomVolume(Volume):
    """The slices of one series, a file each, in any order."""

    paths: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.paths

    def slices(self) -> list[Slice]:
        """The slices by position, checked to make a regular volume; of files with the very same bytes one."""
        return in_order(_without_copies([read_slice(path) for path in self.paths]), str(self.paths[0].parent))

    def copies(self) -> tuple[Path, ...]:
        """Files that are left out since another has the very same bytes."""
        return tuple(sorted(set(self.paths).difference(item.path for item in self.slices())))

    def grid(self) -> Grid:
        return grid_of(self.slices())

    def read(self) -> nibabel.Nifti1Image:
        """The volume in the series' own units: rescale slope and intercept are applied.

        Whole numbers become int16 or int32, others float32.
        """
        slices = self.slices()
        voxels = _read_pixels(slices)
        return nifti(voxels.astype(_voxel_type(voxels), copy=False), grid_of(slices))


def _without_copies(slices: Sequence[Slice]) -> list[Slice]:
    kept: dict[tuple[float, ...], list[Slice]] = defaultdict(list)
    for item in slices:
        beside = kept[item.position]
        if not any(filecmp.cmp(item.path, other.path, shallow=False) for other in beside):
            beside.append(item)
    return [item for beside in kept.values() for item in beside]


def nifti(voxels: np.ndarray, grid: Grid) -> nibabel.Nifti1Image:
    """An image in memory, with the grid in both of the header's places for it."""
    image = nibabel.Nifti1Image(voxels, grid.affine)
    image.set_qform(grid.affine, "scanner")
    image.set_sform(grid.affine, "scanner")
    image.header.set_xyzt_units("mm")
    return image


def _read_pixels(ordered: list[Slice]) -> np.ndarray:
    """Voxels (X, Y, Z) as float32, which holds the 16 bits of DICOM exactly."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    # By name, since without a preamble it would not be found by the file's first bytes.
    reader.SetImageIO("GDCMImageIO")
    # Slope and intercept may differ from slice to slice: the first does not tell the type of all.
    reader.SetOutputPixelType(SimpleITK.sitkFloat32)
    try:
        with _as_stored(ordered) as paths:
            reader.SetFileNames([str(path) for path in paths])
            image = reader.Execute()
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-200:]
        raise HermesError(f"the pixels of {ordered[0].path.parent} cannot be read (... {reason})") from None
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)


@contextmanager
def _as_stored(ordered: Sequence[Slice]) -> Iterator[list[Path]]:
    """Files of the slices whose values ITK gives as they are: it would invert those that are shown inverted."""
    if not any(item.shown_inverted for item in ordered):
        yield [item.path for item in ordered]
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, item in enumerate(ordered):
            dataset = read_dicom(item.path, pixels=True)
            assert dataset is not None
            with decoding(item.path):
                dataset.PhotometricInterpretation = "MONOCHROME2"
                paths.append(Path(folder) / f"{number}.dcm")
                dataset.save_as(paths[-1])
        yield paths


def _voxel_type(voxels: np.ndarray) -> type:
    if not np.array_equal(voxels, np.rint(voxels)):
        return np.float32
    whole = np.iinfo(np.int16)
    return np.int16 if whole.min <= voxels.min() and voxels.max() <= whole.max else np.int32
