"""Single voxels of published images that are no numbers, and label values that are nearly whole."""

from itertools import product

import numpy as np

from hermes_nnunet.core.images.voxels import label_voxels
from hermes_nnunet.errors import HermesError

# More of them are no slip of a single voxel: one in as many, or one at all.
_ONE_IN = 10_000
_AROUND = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def without_gaps(voxels: np.ndarray, name: str) -> tuple[np.ndarray, int]:
    """Voxels (X, Y, Z) in which single ones that are no numbers have the median of the numbers around, and how many.

    Raises:
        HermesError: there are too many, or one has no number around it; it begins with `name`.
    """
    if voxels.dtype.kind != "f":
        return voxels, 0
    gaps = np.argwhere(~np.isfinite(voxels))
    if not len(gaps):
        return voxels, 0
    if len(gaps) > max(1, voxels.size // _ONE_IN):
        raise HermesError(f"{name} holds NaN or infinite voxels ({len(gaps)} of {voxels.size})")
    mended = voxels.copy()
    for gap in gaps:
        places = [gap + step for step in _AROUND if (gap + step >= 0).all() and (gap + step < voxels.shape).all()]
        around = [value for place in places if np.isfinite(value := voxels[tuple(place)])]
        if not around:
            raise HermesError(f"{name} holds NaN or infinite voxels with no number around them")
        mended[tuple(gap)] = np.median(around)
    return mended, len(gaps)


def whole_labels(voxels: np.ndarray) -> tuple[np.ndarray, bool]:
    """Label values of which those beside a whole number are rounded to it, and whether there are any."""
    whole = label_voxels(voxels)
    return whole, whole is not voxels and not np.array_equal(whole, voxels, equal_nan=True)
