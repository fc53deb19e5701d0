"""What tells modalities apart in an image: its histogram, its geometry, and where it is bright."""

from collections.abc import Sequence

import numpy as np

from hermes_nnunet.errors import HermesError

# Lengths that are looked at of an image, so that a large one costs no more than a second.
MOST_VOXELS_OF_AXIS = 64
_SHAPE_PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
_ENDS = (1.0, 99.0)
_AIR_HU = (-1100.0, -900.0)
_FAT_HU = (-150.0, -30.0)
_SHELLS = 4
_DARK = 0.1
_SMALLEST_MM = 1e-3

FEATURES = (
    *(f"percentile_{percentile}" for percentile in _SHAPE_PERCENTILES),
    "dark_share",
    "skewness",
    "entropy",
    "air_hu_share",
    "fat_hu_share",
    *(f"shell_{number}" for number in range(_SHELLS)),
    "neighbour_difference",
    *(f"log_spacing_{axis}" for axis in "zyx"),
    *(f"log_extent_{axis}" for axis in "zyx"),
)


def image_features(image: np.ndarray, spacing: Sequence[float], name: str) -> np.ndarray:
    """FEATURES of one channel (D, H, W), float64, of a spacing z, y, x in mm.

    What depends on the intensities does not change when they are shifted and scaled, as files of one image may differ,
    but for two shares: of voxels with the Hounsfield units of air, and of fat. Whether the values are whole
    numbers is left out: a conversion changes it.

    Args:
        name: of the image, in messages.

    Raises:
        HermesError: the image has no three axes of several voxels, values that are not numbers, or only one.
    """
    if image.ndim != 3 or min(image.shape) < 2:
        raise HermesError(
            f"{name} has {' x '.join(map(str, image.shape))} voxels: the modality of a single slice cannot be told, "
            "name it"
        )
    strides = [max(1, length // MOST_VOXELS_OF_AXIS) for length in image.shape]
    voxels = image[tuple(slice(None, None, stride) for stride in strides)].astype(np.float64)
    if not np.isfinite(voxels).all():
        raise HermesError(f"{name} has voxels that are not numbers (NaN or infinite): mend it")
    low, high = np.percentile(voxels, _ENDS)
    if high <= low:
        low, high = voxels.min(), voxels.max()
    if high <= low:
        raise HermesError(f"{name} has the intensity {low:g} everywhere: its modality cannot be told, name it")
    scaled = ((voxels - low) / (high - low)).clip(0, 1)
    mean, deviation = scaled.mean(), scaled.std()
    shares = np.histogram(scaled, bins=32, range=(0, 1))[0] / scaled.size
    extents = np.multiply(image.shape, spacing)
    return np.array(
        [
            *np.percentile(scaled, _SHAPE_PERCENTILES),
            (scaled < _DARK).mean(),
            ((scaled - mean) ** 3).mean() / deviation**3,
            -(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))).sum(),
            *(((voxels >= first) & (voxels <= last)).mean() for first, last in (_AIR_HU, _FAT_HU)),
            *_shells(scaled),
            np.abs(np.diff(scaled, axis=2)).mean() / deviation,
            *np.log(np.maximum(spacing, _SMALLEST_MM)),
            *np.log(np.maximum(extents, _SMALLEST_MM)),
        ]
    )


def _shells(scaled: np.ndarray) -> list[float]:
    """Mean intensity by the distance from the middle, inmost first; the edges of the image are at a distance of 1."""
    axes = np.meshgrid(*(np.linspace(-1, 1, length) for length in scaled.shape), indexing="ij", sparse=True)
    distance = np.max(np.broadcast_arrays(*(np.abs(axis) for axis in axes)), axis=0)
    shell = np.minimum((distance * _SHELLS).astype(int), _SHELLS - 1).ravel()
    sums = np.bincount(shell, scaled.ravel(), _SHELLS)
    return list(sums / np.maximum(np.bincount(shell, minlength=_SHELLS), 1))
