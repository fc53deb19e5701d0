"""Voxels of each class, drawn once so that training patches can be placed on them."""

from collections.abc import Sequence
from math import ceil

import numpy as np

AT_LEAST = 10_000
SHARE = 0.01

OneClass = int | tuple[int, ...]


def sample_locations(
    labels: np.ndarray, classes: Sequence[int | Sequence[int]], seed: int = 1234
) -> dict[OneClass, np.ndarray]:
    """Voxels (n, labels.ndim) of each class: 10,000 or a hundredth, whichever is more, or all where there are fewer.

    Args:
        labels: label map of whole numbers.
        classes: each a label value, or the values of a region.
    """
    rng = np.random.default_rng(seed)
    values_of = {_key(one): np.unique(one) for one in classes}
    flat = labels.ravel()
    positions = np.flatnonzero(np.isin(flat, np.concatenate(list(values_of.values()))))
    positions = positions[np.argsort(flat[positions], kind="stable")]
    sorted_labels = flat[positions]
    locations = {}
    for key, values in values_of.items():
        starts, ends = (np.searchsorted(sorted_labels, values, side) for side in ("left", "right"))
        own = np.concatenate([positions[start:end] for start, end in zip(starts, ends, strict=True)])
        number = min(len(own), max(AT_LEAST, ceil(SHARE * len(own))))
        drawn = rng.choice(own, number, replace=False, shuffle=False)
        locations[key] = np.stack(np.unravel_index(drawn, labels.shape), 1).astype(np.int32)
    return locations


def _key(one: int | Sequence[int]) -> OneClass:
    return tuple(int(value) for value in one) if isinstance(one, Sequence) else int(one)
