"""A small torso with organs of varying shape and place, as masks on any voxel grid.

World axes are RAS in mm: x grows towards the patient's right, y towards the front, z towards the head.
"""

from collections.abc import Sequence

import numpy as np

Masks = dict[str, np.ndarray]
Vector = Sequence[float] | np.ndarray

# Later structures are cut out of earlier ones; the lesion alone lies inside what it grew in.
LESION = "lesion"
STRUCTURES = ("body", "fat", "lungs", "liver", "left_kidney", "right_kidney", "spine", "disc", "heart", LESION)

_VERTEBRA_HEIGHT = 16.0
_FAT_THICKNESS = 6.0


def draw_anatomy(points: np.ndarray, generator: np.random.Generator) -> Masks:
    """One patient's structures, seen at the given points.

    The two kidneys are drawn from mirrored distributions: nothing but their place tells one from the other.

    Args:
        points: world coordinates in mm, shape (3, X, Y, Z).
        generator: the only source of chance.

    Returns:
        A boolean (X, Y, Z) mask for each of STRUCTURES. They are disjoint, except that the liver includes a lesion
        that lies in it.
    """
    size = generator.uniform(0.92, 1.06)
    points = _bent(points, generator) / size
    drawn = {
        "body": _cylinder(points, (0, 0), (62, 48)),
        "lungs": (
            _organ(points, (31, 2, 46), (20, 27, 30), generator) | _organ(points, (-31, 2, 46), (20, 27, 30), generator)
        ),
        "liver": (
            _organ(points, (26, 8, 2), (28, 30, 22), generator) | _organ(points, (0, 18, 6), (20, 15, 13), generator)
        ),
        "left_kidney": _organ(points, (-31, -17, -29), (10, 11, 18), generator),
        "right_kidney": _organ(points, (31, -17, -29), (10, 11, 18), generator),
        "heart": _organ(points, (-9, 12, 40), (20, 18, 19), generator),
    }
    drawn["fat"] = drawn["body"] & ~_cylinder(points, (0, 0), (62 - _FAT_THICKNESS, 48 - _FAT_THICKNESS))
    drawn["spine"] = _cylinder(points, generator.normal((0, -31), 1.0), generator.uniform(8.5, 10.5, 2))
    level = (points[2] + generator.uniform(0, _VERTEBRA_HEIGHT)) % _VERTEBRA_HEIGHT
    drawn["disc"] = drawn["spine"] & (level < 4.5)
    drawn["spine"] &= ~drawn["disc"]

    masks = _disjoint({name: drawn[name] for name in STRUCTURES if name != LESION})
    lesion = _lesion(points, masks, generator) & drawn["body"]
    masks = {name: mask if name == "liver" else mask & ~lesion for name, mask in masks.items()}
    return masks | {LESION: lesion}


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


def _disjoint(drawn: Masks) -> Masks:
    masks: Masks = {}
    taken = np.zeros_like(drawn["body"])
    for name in reversed(drawn):
        masks[name] = drawn[name] & drawn["body"] & ~taken
        taken |= masks[name]
    return masks


def _lesion(points: np.ndarray, masks: Masks, generator: np.random.Generator) -> np.ndarray:
    """A ball around a place in the liver or in the soft tissue, as likely one as the other."""
    home = masks["liver"] if generator.random() < 0.5 else masks["body"]
    places = np.argwhere(home & (np.abs(points[2]) < 45))
    x, y, z = places[generator.integers(len(places))]
    return _ellipsoid(points, points[:, x, y, z], generator.uniform(8.0, 11.0, 3))
