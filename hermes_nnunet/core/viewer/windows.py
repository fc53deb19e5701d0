"""The windows of grey values in which a person may want to see an image."""

import numpy as np

from hermes_nnunet.core.pictures.overlay import grey_window

# Hounsfield units, after the one for soft tissue.
_CT = {"lung": (-1350.0, 150.0), "bone": (-500.0, 1300.0), "brain": (0.0, 80.0)}


def grey_windows(voxels: np.ndarray, modality: str) -> dict[str, tuple[float, float]]:
    """Lowest and highest grey value of each window, by its name; the first is the one to begin with.

    Args:
        voxels: grey values; those that are no numbers are left out.
    """
    low, high = grey_window(voxels, modality)
    numbers = voxels[np.isfinite(voxels)]
    whole = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if modality == "CT":
        return {"soft tissue": (low, high), **_CT, "all values": _opened(*whole)}
    return {"automatic": (low, high) if high > low else _opened(*whole), "all values": _opened(*whole)}


def _opened(low: float, high: float) -> tuple[float, float]:
    """A window that is not empty."""
    return (low, high) if high > low else (low, low + 1)
