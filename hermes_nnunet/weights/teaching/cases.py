"""Examples as the network sees them, and patches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.nn import functional

from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.teaching.examples import Example
from hermes_nnunet.weights.teaching.lesson import Lesson

# Of a patch: how far the corner is turned and scaled at most (augmentation).
LARGEST_ANGLE = 0.25  # radians, some 15 degrees
LARGEST_SCALE = 0.15
FOREGROUND_SHARE = 0.5
# Of the other patches, once it is known where the network errs.
FALSE_SHARE = 0.5


@dataclass(frozen=True)
class TaughtCase:
    """A preprocessed example.

    Attributes:
        example: where it comes from.
        image: (channels, D, H, W), on the network's voxels.
        labels: (D, H, W), 0 and the values of the tasks.
        properties: nnU-Net's, of the image.
        reference: (D, H, W), the same labels on the voxels of the image file, in nnU-Net's order of axes.
    """

    example: Example
    image: torch.Tensor
    labels: torch.Tensor
    properties: dict[str, Any]
    reference: np.ndarray

    def voxels_of(self, value: int) -> torch.Tensor:
        """(N, 3) of a label."""
        return (self.labels == value).nonzero()


def prepare_case(example: Example, lesson: Lesson) -> TaughtCase:
    """Read and preprocess an example as the base's images were.

    Raises:
        HermesError: a file cannot be read, or has voxels that are no numbers.
    """
    plans = {**lesson.plans, "hermes": lesson.hermes_plans.to_block()}
    manager = PlansManager(plans)
    configuration = manager.get_configuration(lesson.configuration)
    preprocessor = configuration.preprocessor_class(verbose=False)
    files = [str(path) for path in example.images]
    image, labels, properties = preprocessor.run_case(
        files, str(example.mask), manager, configuration, lesson.dataset_json
    )
    if not np.isfinite(image).all():
        raise HermesError(f"{example.images[0]} has voxels that are not numbers (NaN or infinite): mend it")
    reference, _ = HermesImageIO().read_seg(str(example.mask))
    return TaughtCase(
        example,
        torch.from_numpy(image).float(),
        torch.from_numpy(_own_values(labels[0], lesson.values)),
        properties,
        _own_values(reference[0], lesson.values),
    )


def _own_values(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Label map with the values 1, 2, ... of the tasks, and 0 elsewhere."""
    own = np.zeros(labels.shape, np.int16)
    for number, value in enumerate(values, start=1):
        own[labels == value] = number
    return own


@dataclass(frozen=True)
class FalsePlaces:
    """Voxels of a case to which a network gives a task that they do not belong to.

    Attributes:
        voxels: (N, 3).
        probabilities: (N,), of that task; where there are several, of the surest.
    """

    case: TaughtCase
    voxels: np.ndarray
    probabilities: np.ndarray


class Patches:
    """Draws patches of cases, by turns about a labelled voxel and elsewhere, turned, scaled and changed a little.

    Elsewhere is anywhere or, where `false_places` tells of some, as often about a voxel that the network takes for a
    task's: what looks like a task is a small part of an image, and patches anywhere hardly ever show it. Nothing is
    mirrored.

    Args:
        cases: at least one.
        plans: tell the number of tasks.
        size: voxels of a patch.
        seed: of what is drawn.

    Attributes:
        size: see above.
        false_places: of the network at present.
    """

    def __init__(self, cases: Sequence[TaughtCase], plans: HermesPlans, size: Sequence[int], seed: int) -> None:
        self._cases = cases
        self.size = tuple(size)
        self._random = np.random.default_rng(seed)
        self.false_places: Sequence[FalsePlaces] = ()
        self._voxels = [
            [(case, own) for case in cases if len(own := case.voxels_of(value))]
            for value in range(1, len(plans.tasks) + 1)
        ]

    def batch(self, number: int, *, augmented: bool = True, foreground: float = FOREGROUND_SHARE) -> "Batch":
        """Patches: images (B, C, d, h, w) and label maps (B, 1, d, h, w).

        Args:
            number: of patches.
            augmented: whether they are turned, scaled and changed.
            foreground: share of them that show a labelled voxel.
        """
        shown = [(place + 0.5) / number < foreground for place in range(number)]
        drawn = [self._patch(augmented=augmented, foreground=own) for own in shown]
        return Batch(torch.stack([image for image, _ in drawn]), torch.stack([labels for _, labels in drawn]))

    def _patch(self, *, augmented: bool, foreground: bool) -> tuple[torch.Tensor, torch.Tensor]:
        some = [own for own in self._voxels if own]
        if some and foreground:
            of_task = some[self._random.integers(len(some))]
            case, voxels = of_task[self._random.integers(len(of_task))]
            middle = voxels[self._random.integers(len(voxels))].numpy() + self._jitter()
        elif self.false_places and self._random.random() < FALSE_SHARE:
            case, middle = self._false_voxel()
            middle = middle + self._jitter()
        else:
            case = self._cases[self._random.integers(len(self._cases))]
            middle = self._random.integers(case.labels.shape)
        middle = self._inside(np.asarray(middle), case.labels.shape)
        if not augmented:
            return _about(case, middle, self.size)
        image, labels = self._turned(*_about(case, middle, [length + length // 2 for length in self.size]))
        return self._changed(image), labels

    def _jitter(self) -> np.ndarray:
        """By which what a patch is to show lies off its middle."""
        return self._random.integers([-(length // 4) for length in self.size], [n // 4 + 1 for n in self.size])

    def _false_voxel(self) -> tuple[TaughtCase, np.ndarray]:
        """One that the network is wrong about, the more likely the surer it is."""
        sums = np.array([places.probabilities.sum() for places in self.false_places])
        places = self.false_places[self._random.choice(len(sums), p=sums / sums.sum())]
        shares = places.probabilities / places.probabilities.sum()
        return places.case, places.voxels[self._random.choice(len(shares), p=shares)]

    def _inside(self, middle: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """A middle near by, such that the patch lies in the image where that is large enough."""
        half = np.array(self.size) // 2
        highest = np.array(shape) - (np.array(self.size) - half)
        return np.where(highest > half, np.clip(middle, half, np.maximum(highest, half)), np.array(shape) // 2)

    def _turned(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The middle of a larger patch, turned about each axis and scaled."""
        angles = self._random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, 3)
        scales = self._random.uniform(1 - LARGEST_SCALE, 1 + LARGEST_SCALE, 3)
        matrix = np.diag(scales)
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            first, second = [other for other in range(3) if other != axis]
            turn[first, first] = turn[second, second] = np.cos(angle)
            turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ turn
        there = np.array(image.shape[1:])
        axes = [np.arange(length) - (length - 1) / 2 for length in self.size]
        places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ matrix.T
        # grid_sample wants x, y, z between -1 and 1.
        grid = torch.from_numpy((2 * places / np.maximum(there - 1, 1))[..., ::-1].astype(np.float32))[None]
        turned = functional.grid_sample(image[None], grid, align_corners=True, padding_mode="zeros")[0]
        nearest = functional.grid_sample(labels[None].float(), grid, mode="nearest", align_corners=True)[0]
        return turned, nearest.to(labels.dtype)

    def _changed(self, image: torch.Tensor) -> torch.Tensor:
        """Contrast, brightness and noise, as much as a scanner's."""
        draw = self._random
        changed = image * float(draw.uniform(0.85, 1.15)) + float(draw.normal(0, 0.1))
        noise = torch.from_numpy(draw.normal(0, draw.uniform(0, 0.1), image.shape).astype(np.float32))
        return changed + noise


@dataclass(frozen=True)
class Batch:
    """Patches: images (B, C, d, h, w), labels (B, 1, d, h, w)."""

    images: torch.Tensor
    labels: torch.Tensor

    def targets(self, scales: Sequence[Sequence[float]]) -> list[torch.Tensor]:
        """Labels at the resolution of each of the network's outputs."""
        sizes = [
            [round(length * scale) for length, scale in zip(self.labels.shape[2:], own, strict=True)] for own in scales
        ]
        return [functional.interpolate(self.labels.float(), size).to(self.labels.dtype) for size in sizes]


def cut(case: TaughtCase, corner: Sequence[int], size: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (C, d, h, w) and labels (1, d, h, w) from a first voxel on; 0 outside of the image, as at prediction."""
    image, labels = case.image, case.labels[None]
    for axis, length in enumerate(size):
        start = int(corner[axis])
        before, after = max(0, -start), max(0, start + length - image.shape[axis + 1])
        kept = length - before - after
        image, labels = (tensor.narrow(axis + 1, max(0, start), kept) for tensor in (image, labels))
        padding = [0, 0] * (2 - axis) + [before, after]
        image, labels = (functional.pad(tensor, padding) for tensor in (image, labels))
    return image, labels


def _about(case: TaughtCase, middle: np.ndarray, size: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """As `cut`, about a voxel."""
    return cut(case, [int(place) - length // 2 for place, length in zip(middle, size, strict=True)], size)
