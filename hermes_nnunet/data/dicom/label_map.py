"""All structures of a series in one label image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.conversion import Grid, Volume
from hermes_nnunet.data.dicom.files import read_dicom
from hermes_nnunet.data.dicom.folder import RTSTRUCT, LabelObject
from hermes_nnunet.data.dicom.segmentations import segment_masks
from hermes_nnunet.data.dicom.structure_sets import contours_by_name, filled
from hermes_nnunet.data.dicom.volume import DicomVolume, nifti
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class LabelMap(Volume):
    """Structures of label objects on the grid of their series, with the values 1, 2, ... of `labels`.

    Attributes:
        labels: names of all structures to take; the label objects need not have all of them.
        priority: structures that win where they overlap others, the first of them first.
    """

    objects: tuple[LabelObject, ...]
    series: DicomVolume
    labels: tuple[str, ...]
    priority: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(label.path for label in self.objects)

    def grid(self) -> Grid:
        return self.series.grid()

    def read(self) -> nibabel.Nifti1Image:
        grid = self.grid()
        ranks = {name: rank for rank, name in enumerate(reversed(self.priority), start=1)}
        painted = np.zeros(grid.shape, dtype=np.uint8)
        problems = []
        # Rank of what is painted decides, so that masks need not be in memory at once.
        rank_of_value = np.array([0, *(ranks.get(name, 0) for name in self.labels)])
        for name, mask in self._masks(grid):
            value = self.labels.index(name) + 1
            counts = np.bincount(painted[mask], minlength=len(self.labels) + 1)
            for other in (np.flatnonzero(counts[1:]) + 1).tolist():
                if rank_of_value[other] == rank_of_value[value]:
                    problems.append(f"{name} and {self.labels[other - 1]} share {counts[other]} voxels")
            painted[mask & (rank_of_value[painted] <= rank_of_value[value])] = value
        if problems:
            raise HermesError(
                f"{self.objects[0].path}: {listed(problems)}: name the one that wins with --priority, or leave one out "
                "with --labels"
            )
        return nifti(painted, grid)

    def _masks(self, grid: Grid) -> Iterator[tuple[str, np.ndarray]]:
        for label in self.objects:
            names = [name for name in label.names if name in self.labels]
            try:
                yield from zip(names, _masks_of(label, names, grid), strict=True)
            except HermesError as error:
                raise HermesError(f"{label.path}: {error}") from None


def _masks_of(label: LabelObject, names: Sequence[str], grid: Grid) -> Iterator[np.ndarray]:
    if label.kind == RTSTRUCT:
        dataset = read_dicom(label.path)
        assert dataset is not None
        contours = contours_by_name(dataset)
        for name in names:
            try:
                yield filled(contours[name], grid)
            except HermesError as error:
                raise HermesError(f"{name}: {error}") from None
    else:
        yield from segment_masks(label.path, names, grid)
