"""A small torso with organs of varying shape and place, as masks on any voxel grid.

World axes are RAS in mm: x grows towards the patient's right, y towards the front, z towards the head.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Masks = dict[str, np.ndarray]
Vector: TypeAlias = Sequence[float] | np.ndarray

# Later structures are cut out of earlier ones.
STRUCTURES = (
    "body", "fat", "lungs", "stomach", "liver", "left_kidney", "right_kidney", "spine", "disc", "heart", "lesion",
)  # fmt: skip

# All in mm.
_BODY_RADII = (57, 47)
_FAT_THICKNESS = 6
_VERTEBRA_HEIGHT = 16
_DISC_HEIGHT = 4.5
_LESION_LEVELS = (-45, -5)


def draw_anatomy(points: np.ndarray, generator: np.random.Generator) -> Masks:
    """One patient's structures, seen at the given points.

    The two kidneys are drawn from mirrored distributions: nothing but their place tells one from the other.

    Args:
        points: world coordinates in mm, shape (3, X, Y, Z).
        generator: the only source of chance.

    Returns:
        A boolean (X, Y, Z) mask for each of STRUCTURES; they are disjoint.
    """
    points = _bent(points, generator) / generator.uniform(0.92, 1.06)
    inside = _cylinder(points, (0, 0), _BODY_RADII)
    column = _cylinder(points, generator.normal((0, -29), 1.0), generator.uniform(8.5, 10.5, 2))
    level = (points[2] + generator.uniform(0, _VERTEBRA_HEIGHT)) % _VERTEBRA_HEIGHT
    between_vertebrae = level < _DISC_HEIGHT
    drawn = {
        "body": inside,
        "fat": ~_cylinder(points, (0, 0), np.subtract(_BODY_RADII, _FAT_THICKNESS)),
        "lungs": (
            _organ(points, (29, 2, 44), (18, 26, 28), generator) | _organ(points, (-29, 2, 44), (18, 26, 28), generator)
        ),
        "liver": (
            _organ(points, (22, 8, 2), (26, 29, 21), generator) | _organ(points, (-2, 18, 6), (20, 15, 13), generator)
        ),
        "stomach": _organ(points, (-26, 8, 0), (20, 22, 19), generator),
        "left_kidney": _organ(points, (-28, -15, -29), (12, 13, 18), generator),
        "right_kidney": _organ(points, (28, -15, -29), (12, 13, 18), generator),
        "spine": column & ~between_vertebrae,
        "disc": column & between_vertebrae,
        "heart": _organ(points, (-9, 12, 38), (20, 18, 19), generator),
    }
    soft_tissue = inside & ~np.logical_or.reduce([mask for name, mask in drawn.items() if name != "body"])
    drawn["lesion"] = _lesion(points, soft_tissue, generator)
    masks: Masks = {}
    taken = ~inside
    for name in reversed(STRUCTURES):
        masks[name] = drawn[name] & ~taken
        taken |= masks[name]
    return masks


def _organ(points: np.ndarray, centre: Vector, radii: Vector, generator: np.random.Generator) -> np.ndarray:
    """An ellipsoid whose centre and radii (mm) vary from patient to patient."""
    moved = np.asarray(centre) + generator.normal(0, 2.0, 3)
    scaled = np.asarray(radii) * generator.uniform(0.88, 1.12, 3)
    return _ellipsoid(points, moved, scaled)


def _ellipsoid(points: np.ndarray, centre: Vector, radii: Vector) -> np.ndarray:
    return sum(((points[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(3)) <= 1


def _cylinder(points: np.ndarray, centre: Vector, radii: Vector) -> np.ndarray:
    """An elliptic cylinder along z."""
    return sum(((points[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(2)) <= 1


def _bent(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The points moved by a smooth field of a few mm, so that no organ is an exact ellipsoid."""
    bent = points.copy()
    for _ in range(4):
        direction = generator.normal(0, 1.5, 3)
        wave = generator.normal(0, 2 * np.pi / 70, 3)
        phase = generator.uniform(0, 2 * np.pi)
        field = np.sin(np.tensordot(wave, points, axes=1) + phase)
        bent += direction[:, None, None, None] * field
    return bent


def _lesion(points: np.ndarray, soft_tissue: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A ball around a place in the soft tissue of the lower abdomen."""
    lowest, highest = _LESION_LEVELS
    places = np.argwhere(soft_tissue & (points[2] > lowest) & (points[2] < highest))
    x, y, z = places[generator.integers(len(places))]
    return _ellipsoid(points, points[:, x, y, z], generator.uniform(9.0, 12.0, 3))
