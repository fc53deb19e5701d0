"""What a browser is given of a case: image, contours, surfaces, and what is said of the tasks."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import nibabel
import numpy as np

from hermes_nnunet.core.expected_dice import ExpectedOfTasks
from hermes_nnunet.core.images.geometry import Geometry
from hermes_nnunet.core.layers import Layers
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.overlay import best_slice
from hermes_nnunet.core.viewer.surfaces import mz3, surface
from hermes_nnunet.core.viewer.windows import grey_windows

PREDICTION, REFERENCE = "prediction", "reference"
IMAGE = "image"
# Browsers keep four bytes a voxel on the graphics card, and more on the way there.
MOST_VOXELS = 2**27
# Types of voxels that NiiVue takes as they are.
_TYPES = ("u1", "i2", "u2", "f4")
_MM3_PER_ML = 1000
_PART = re.compile(r"(?P<whose>prediction|reference)/(?P<what>layer|surface)/(?P<number>\d{1,5})")


@dataclass(frozen=True)
class Scene:
    """A case as it is shown: its voxels run to the patient's right, front and head, whatever the files do.

    The planes are those of the voxels; the place of a voxel is said by `affine`.

    Attributes:
        name: of the case.
        image: voxels (X, Y, Z); None where there is no image to see.
        slope, intercept: of its stored voxels.
        affine: (4, 4), voxel indices to mm in RAS.
        labels: the tasks, in the order of the list.
        segmentations: layers by PREDICTION and, where there is one, REFERENCE.
        modality: decides the windows of grey values.
        unlabelled: tasks of which the reference says nothing.
        dice: of each other task against the reference; nan where neither has it.
        expected_dice: of images of the training's kind, by task, where it is known.
        notes: lines that people should read.
        most_voxels: that are shown; of a larger image fewer are.
    """

    name: str
    image: np.ndarray | None
    affine: np.ndarray
    labels: tuple[Label, ...]
    segmentations: Mapping[str, Layers]
    modality: str
    slope: float = 1.0
    intercept: float = 0.0
    unlabelled: frozenset[str] = frozenset()
    dice: Mapping[str, float] = field(default_factory=dict)
    expected_dice: ExpectedOfTasks = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    most_voxels: int = MOST_VOXELS

    def to_json(self) -> dict[str, Any]:
        """All but the voxels and the surfaces."""
        voxel_ml = abs(float(np.linalg.det(self.affine[:3, :3]))) / _MM3_PER_ML
        counts = {whose: layers.counts() for whose, layers in self.segmentations.items()}
        return {
            "name": self.name,
            "notes": [*self.notes, *([] if self._step == 1 else [self._step_note])],
            "shape": list(self._shown_shape),
            "affine": self._shown_affine.tolist(),
            "start": self._start,
            "windows": [{"name": name, "low": low, "high": high} for name, (low, high) in self._windows.items()],
            "bytes": int(self.segmentations[PREDICTION].volumes[0].dtype.itemsize),
            "layers": {whose: len(layers.volumes) for whose, layers in self.segmentations.items()},
            "tasks": [
                {
                    "name": label.name,
                    "colour": label.colour,
                    "dice": _or_none(self.dice.get(label.name, math.nan)),
                    "expected": expected.to_json() if (expected := self.expected_dice.get(label.name)) else None,
                    **{
                        whose: {
                            "layer": layers.places[label.name][0],
                            "value": layers.places[label.name][1],
                            "volume_ml": counts[whose][label.name] * voxel_ml,
                        }
                        if whose == PREDICTION or label.name not in self.unlabelled
                        else None
                        for whose, layers in self.segmentations.items()
                    },
                }
                for label in self.labels
            ],
        }

    @property
    def parts(self) -> list[str]:
        """Names of what `part` gives."""
        names = [IMAGE]
        for whose, layers in self.segmentations.items():
            names += [f"{whose}/layer/{number}" for number in range(len(layers.volumes))]
            names += [f"{whose}/surface/{number}" for number in range(len(self.labels))]
        return names

    def part(self, name: str) -> bytes | None:
        """IMAGE as NIfTI, `<whose>/layer/<number>` as bytes of its voxels, `<whose>/surface/<task>` as MZ3.

        None where there is no such part.
        """
        if name == IMAGE:
            return self._image_nifti()
        match = _PART.fullmatch(name)
        layers = self.segmentations.get(match["whose"]) if match else None
        if match is None or layers is None:
            return None
        number = int(match["number"])
        if match["what"] == "layer":
            volumes = layers.volumes
            return self._shown(volumes[number]).tobytes(order="F") if number < len(volumes) else None
        if number >= len(self.labels):
            return None
        start, mask = layers.boxed_mask(self.labels[number].name)
        spacing, origin = self._grid(self.affine)
        # Voxels that are left out of the shown ones are part of the surface.
        return mz3(*surface(mask, spacing, origin + start * spacing))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return self.segmentations[PREDICTION].volumes[0].shape

    @cached_property
    def _step(self) -> int:
        """Every how many voxels are shown, along each axis."""
        step = 1
        while math.prod(-(-side // step) for side in self._shape) > self.most_voxels:
            step += 1
        return step

    @property
    def _step_note(self) -> str:
        return (
            f"The image is large: one voxel of {self._step} along each axis is shown. Volumes are those of all voxels."
        )

    def _shown(self, voxels: np.ndarray) -> np.ndarray:
        step = self._step
        return voxels[::step, ::step, ::step]

    @property
    def _shown_shape(self) -> tuple[int, ...]:
        return tuple(-(-side // self._step) for side in self._shape)

    @property
    def _shown_affine(self) -> np.ndarray:
        return self.affine @ np.diag([self._step, self._step, self._step, 1.0])

    @cached_property
    def _start(self) -> list[int]:
        """Voxel where the planes that show most labels meet."""
        labels = next(iter(self.segmentations.values())).volumes[0]
        values = [(value,) for layer, value in self.segmentations[PREDICTION].places.values() if layer == 0]
        return [best_slice(self._shown(labels), values or [(1,)], axis) for axis in range(3)]

    @staticmethod
    def _grid(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spacing and origin of an image whose axes are taken for right, front and head, as the planes are."""
        return np.linalg.norm(affine[:3, :3], axis=0), affine[:3, 3]

    def _image_nifti(self) -> bytes:
        voxels = np.zeros(self._shown_shape, np.uint8) if self.image is None else self._shown(self.image)
        low, high = next(iter(self._windows.values()), (0.0, 1.0))
        return self._nifti(voxels, slope=self.slope, intercept=self.intercept, low=low, high=high)

    def layer_nifti(self, whose: str, number: int) -> bytes:
        """A layer as NIfTI."""
        voxels = self._shown(self.segmentations[whose].volumes[number])
        return self._nifti(voxels, slope=1, intercept=0, low=0, high=float(len(self.labels)))

    def _nifti(self, voxels: np.ndarray, *, slope: float, intercept: float, low: float, high: float) -> bytes:
        """Voxels that are shown as an uncompressed file; its grey values go from `low` to `high`."""
        spacing, origin = self._grid(self._shown_affine)
        grid = np.diag([*spacing, 1.0])
        grid[:3, 3] = origin
        if voxels.dtype.str[1:] not in _TYPES:
            voxels = voxels.astype(np.float32)
        image = nibabel.Nifti1Image(voxels.astype(voxels.dtype.newbyteorder("<")), grid)
        image.header.set_slope_inter(slope, intercept)
        image.header["cal_min"], image.header["cal_max"] = low, high
        image.header.set_xyzt_units("mm")
        return bytes(image.to_bytes())

    @cached_property
    def _windows(self) -> dict[str, tuple[float, float]]:
        """None without an image."""
        if self.image is None:
            return {}
        shown = self._shown(self.image)
        few = shown[:: max(1, shown.shape[0] // 64), :: max(1, shown.shape[1] // 64), :: max(1, shown.shape[2] // 64)]
        return grey_windows(few.astype(np.float32) * self.slope + self.intercept, self.modality)


def in_ras(geometry: Geometry, voxels: np.ndarray) -> np.ndarray:
    """Voxels of a file in the order of a scene."""
    return np.ascontiguousarray(geometry.to_ras(voxels))


def as_small(voxels: np.ndarray) -> np.ndarray:
    """Voxels of whole numbers in two bytes each, as scanners store them; others as they are."""
    limits = np.iinfo(np.int16)
    if voxels.min() < limits.min or voxels.max() > limits.max:
        return voxels
    small = voxels.astype(np.int16)
    return small if np.array_equal(small, voxels) else voxels


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else round(float(number), 4)
