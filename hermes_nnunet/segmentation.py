"""The result of `HermesModel.predict`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np

from hermes_nnunet.core.expected_dice import ExpectedOfTasks
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.images.nifti_headers import header_fields
from hermes_nnunet.core.images.opening import open_nibabel
from hermes_nnunet.core.images.writing import nifti_on
from hermes_nnunet.core.layers import layers_of_label_map
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.preview import draw_preview
from hermes_nnunet.core.viewer.scene import PREDICTION, Scene, in_ras
from hermes_nnunet.core.viewer.widget import notebook_widget
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.prediction.names import match_task
from hermes_nnunet.prediction.statistics import CaseStatistics, statistics_of_label_map

if TYPE_CHECKING:
    from ipyniivue import NiiVue
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Segmentation:
    """A label map on the voxels of the image that was given, in the image's own orientation.

    Attributes:
        array: (X, Y, Z), label values; 0 is background.
        affine: (4, 4), from voxel indices to mm in RAS, as in nibabel.
        labels: what the values mean.
        image: the image that was segmented; of several channels the one that the first pass used.
        modality: the modality that the image was taken for.
        found_modality: how certain that is, if it was recognised rather than named.
        expected_dice: by task, the Dice of the held-out cases of the model's final validation, as far as it is known.
            It says what the model reaches in images like these, not how good this segmentation is.
        image_of: by task, the image that its pass used, on the same voxels; `image` for tasks that are not in it.
    """

    array: np.ndarray
    affine: np.ndarray
    labels: tuple[Label, ...]
    image: nibabel.Nifti1Image = field(repr=False)
    modality: str
    found_modality: FoundModality | None = None
    expected_dice: ExpectedOfTasks = field(default_factory=dict)
    image_of: Mapping[str, nibabel.Nifti1Image] = field(default_factory=dict, repr=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing of the voxels in mm along x, y, z."""
        x, y, z = (float(size) for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z

    @property
    def names(self) -> dict[int, str]:
        """Task of each label value."""
        return {label.value: label.name for label in self.labels}

    def mask(self, task: str) -> np.ndarray:
        """Boolean (X, Y, Z) of one task, named as in `predict`; a region includes the tasks within it.

        Raises:
            HermesError: the task was not segmented.
        """
        name = match_task(task, [label.name for label in self.labels])
        return np.isin(self.array, next(label.values for label in self.labels if label.name == name))

    def statistics(self) -> CaseStatistics:
        """Volume (ml) of each task, and its mean intensity in the image that its pass used."""
        images = [self.image_of.get(label.name, self.image) for label in self.labels]
        voxel_mm3 = float(abs(np.linalg.det(self.affine[:3, :3])))
        measured: CaseStatistics = {}
        for image in {id(image): image for image in images}.values():
            labels = [label for label, own in zip(self.labels, images, strict=True) if own is image]
            voxels = np.asarray(image.dataobj, dtype=np.float32)
            measured |= statistics_of_label_map(self.array, voxels, labels, voxel_mm3)
        return {label.name: measured[label.name] for label in self.labels}

    def to_nifti(self, path: str | Path | None = None) -> nibabel.Nifti1Image:
        """The label map as a NIfTI image with the codes of the image's header, also written to `path` where given."""
        image = nifti_on(self.array, self.affine, header_fields(self.image.header))
        if path is not None:
            with written_beside(path) as temporary:
                nibabel.save(image, temporary)
        return image

    def show(self, height: int = 500) -> "NiiVue":
        """The image in three planes with the tasks in their colours, as an ipyniivue widget for notebooks.

        Args:
            height: height of the widget in pixels.

        Raises:
            HermesError: ipyniivue is not installed.
        """
        image = open_nibabel(self.image, "the image")
        geometry = open_nibabel(self.to_nifti(), "the segmentation").geometry
        label_map = in_ras(geometry, self.array)
        scene = Scene(
            name="",
            image=in_ras(geometry, image.voxels()),
            affine=geometry.ras_affine,
            labels=self.labels,
            segmentations={PREDICTION: layers_of_label_map(label_map, self.labels)},
            modality=self.modality,
        )
        return notebook_widget(scene, height)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Three planes of the image with contours, as a matplotlib figure, also written to `path` as PNG."""
        image, label_map = (nibabel.as_closest_canonical(volume) for volume in (self.image, self.to_nifti()))
        figure = draw_preview(
            np.asarray(image.dataobj, dtype=np.float32),
            np.asarray(label_map.dataobj),
            label_map.header.get_zooms(),
            self.labels,
            modality=self.modality,
            title="",
        )
        if path is not None:
            with written_beside(path) as temporary:
                figure.savefig(temporary, dpi=130, format="png")
        return figure
