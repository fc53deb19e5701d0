"""Voxels as numbers that a network can take."""

import numpy as np

from hermes_nnunet.errors import HermesError

# No unit of an image comes near: what is larger stands for something else, usually for the outside.
EXTREME = 1e9
# An extreme value is that much larger than all others.
_GAP = 1e4
# Larger ones have no variance in single precision.
_LARGEST = 1e18
# Air and soft tissue are 1000 HU apart, and tissues in an image without air still this far.
_LEAST_HU = 100
# Whole label values that were stored with a slope, or computed as floats, come out with rounding.
_ROUNDING = 1e-3


def image_voxels(voxels: np.ndarray, name: str) -> tuple[np.ndarray, bool]:
    """Voxels as float32, and whether some were outside of the image; these get the lowest of the others, as CT's air.

    Raises:
        HermesError: as `outside_value`.
    """
    value = outside_value(voxels, name)
    if value is None:
        return voxels.astype(np.float32), False
    outside = voxels == value
    return np.where(outside, voxels[~outside].min(), voxels).astype(np.float32), True


def outside_value(voxels: np.ndarray, name: str) -> np.generic | None:
    """The single value, far larger than all others, that stands for the outside of an image (-1e30, lowest float32).

    Raises:
        HermesError: there are NaN or infinite voxels, or extreme ones of several values; it begins with `name`.
    """
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise HermesError(f"{name} holds NaN or infinite voxels: replace them by a value that means air or nothing")
    if is_small(voxels.dtype):
        return None
    largest = _largest(voxels)
    if largest < EXTREME:
        return None
    value = voxels.min() if -float(voxels.min()) >= float(voxels.max()) else voxels.max()
    inside = voxels[voxels != value]
    second = _largest(inside) if inside.size else 0.0
    if second > _LARGEST or (largest > _LARGEST and not inside.size):
        raise HermesError(
            f"{name} holds voxels as large as {float(value):.4g} and {second:.4g}: one such value would be taken for "
            "the outside of the image, several are not; replace them by a value that means air or nothing"
        )
    return value if inside.size and largest > _GAP * second else None


def is_small(dtype: np.dtype) -> bool:
    """Whether no number of this type is extreme."""
    return dtype.kind in "biu" and dtype.itemsize <= 2


def label_voxels(voxels: np.ndarray) -> np.ndarray:
    """Label values; those beside a whole number are rounded to it."""
    if voxels.dtype.kind != "f":
        return voxels
    whole = np.rint(voxels)
    return np.where(np.abs(voxels - whole) <= _ROUNDING, whole, voxels)


def may_be_hounsfield(lowest: float, highest: float) -> bool:
    """Whether the voxels of a CT may be in HU: not where its offset is missing, or its owner has normalised it."""
    return lowest < 0 and highest - lowest >= _LEAST_HU


def _largest(voxels: np.ndarray) -> float:
    return max(-float(voxels.min()), float(voxels.max()))
