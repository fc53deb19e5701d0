"""Masks of tasks that may overlap, in as few label maps as that allows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hermes_nnunet.core.pictures.labels import Label

_MOST_OF_A_BYTE = 255


@dataclass(frozen=True)
class Layers:
    """Label maps, in each of which no task overlaps another.

    Attributes:
        volumes: (X, Y, Z) each, of one shape and type; a task has the same value whatever its layer is.
        places: layer and value of each task, by name.
    """

    volumes: tuple[np.ndarray, ...]
    places: dict[str, tuple[int, int]]

    def mask(self, task: str) -> np.ndarray:
        """Boolean (X, Y, Z)."""
        layer, value = self.places[task]
        return self.volumes[layer] == value

    def boxed_mask(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the box around a task begins (3), and the boolean mask in it; both empty where the task is."""
        layer, value = self.places[task]
        boxes = self._boxes[layer]
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            return np.zeros(3, int), np.zeros((0, 0, 0), bool)
        return np.array([side.start for side in box]), self.volumes[layer][box] == value

    def counts(self) -> dict[str, int]:
        """Voxels of each task."""
        counted = [self._counted(volume) for volume in self.volumes]
        return {task: int(counted[layer][value]) for task, (layer, value) in self.places.items()}

    def dice(self, other: "Layers") -> dict[str, float]:
        """Dice of each task with the same one of others, which has the same value there; nan where neither has it."""
        common = sum(self._counted(mine * (mine == its)) for mine in self.volumes for its in other.volumes)
        mine, its = self.counts(), other.counts()
        sizes = {task: mine[task] + its[task] for task in self.places}
        return {
            task: float(2 * common[value] / sizes[task]) if sizes[task] else math.nan
            for task, (_, value) in self.places.items()
        }

    @cached_property
    def _boxes(self) -> tuple[list[tuple[slice, slice, slice] | None], ...]:
        """Of each layer the box around each value, from 1 on: one look at the voxels for all tasks."""
        from scipy.ndimage import find_objects

        return tuple(find_objects(volume) for volume in self.volumes)

    def _counted(self, volume: np.ndarray) -> np.ndarray:
        """Voxels by value."""
        length = 1 + max((value for _, value in self.places.values()), default=0)
        return sum((np.bincount(plane.ravel(), minlength=length) for plane in volume), np.zeros(length, np.int64))


def layers_of_label_map(label_map: np.ndarray, labels: Sequence[Label], *, own_values: bool = False) -> Layers:
    """Of a label map (X, Y, Z): a task that lies within another is on another layer.

    Args:
        label_map: whole numbers, of any type.
        labels: tasks that it may hold; other values are background.
        own_values: a task has the value of its label, instead of its number in the list.
    """
    taken: list[set[int]] = []
    places = {}
    for number, label in enumerate(labels, start=1):
        number = label.value if own_values else number
        layer = next((place for place, values in enumerate(taken) if values.isdisjoint(label.values)), len(taken))
        if layer == len(taken):
            taken.append(set())
        taken[layer].update(label.values)
        places[label.name] = (layer, number)
    highest = max((value for label in labels for value in label.values), default=0)
    tables = np.zeros((max(len(taken), 1), highest + 1), _dtype(max((n for _, n in places.values()), default=0)))
    for label in labels:
        layer, number = places[label.name]
        tables[layer, list(label.values)] = number
    volumes = np.zeros((len(tables), *label_map.shape), tables.dtype)
    # Plane by plane, for numpy makes eight bytes of each value.
    for place, plane in enumerate(label_map):
        present = plane.astype(np.int64)
        present[(present < 0) | (present > highest)] = 0
        volumes[:, place] = tables[:, present]
    return Layers(tuple(volumes), places)


def layers_of_masks(masks: Iterable[tuple[str, np.ndarray]], shape: tuple[int, ...], count: int) -> Layers:
    """Of boolean masks (X, Y, Z) by task; one is needed at a time.

    Args:
        shape: of each mask.
        count: how many there are at most.
    """
    volumes: list[np.ndarray] = []
    places = {}
    for number, (task, mask) in enumerate(masks, start=1):
        layer = next((place for place, volume in enumerate(volumes) if not volume[mask].any()), len(volumes))
        if layer == len(volumes):
            volumes.append(np.zeros(shape, _dtype(count)))
        volumes[layer][mask] = number
        places[task] = (layer, number)
    return Layers(tuple(volumes) or (np.zeros(shape, np.uint8),), places)


def _dtype(highest: int) -> type[np.uint8 | np.uint16]:
    return np.uint8 if highest <= _MOST_OF_A_BYTE else np.uint16
