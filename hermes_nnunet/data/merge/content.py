"""What tells whether two image files hold the same image."""

import hashlib

import numpy as np

from hermes_nnunet.core.images.geometry import Geometry
from hermes_nnunet.core.images.opening import OpenImage

_DIGEST_BYTES = 16


def content_hash(image: OpenImage) -> str:
    """Hash of the voxels, whatever file, format, compression, number type, scaling or order of axes holds them.

    Values count as float32, axes as those to the right, the front and the head. Where the image lies does not count.

    Returns:
        Hexadecimal digits; nothing for an image of one value, which says nothing of whom it shows.

    Raises:
        HermesError: the voxels cannot be read, or are not all numbers.
    """
    return hash_and_range(image)[0]


def hash_and_range(image: OpenImage) -> tuple[str, tuple[float, float]]:
    """The hash of `content_hash`, and the lowest and highest voxel in the image's units.

    Raises:
        HermesError: as `content_hash`.
    """
    unscaled, slope, intercept = image.unscaled()
    one, other = (float(end) * slope + intercept for end in (unscaled.min(), unscaled.max()))
    return _hash(image.geometry, unscaled, slope, intercept), (min(one, other), max(one, other))


def _hash(geometry: Geometry, unscaled: np.ndarray, slope: float, intercept: float) -> str:
    voxels = geometry.to_ras(unscaled)
    if (voxels == voxels.flat[0]).all():
        return ""
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=_DIGEST_BYTES)
    # Plane by plane, since another copy of the image is more than many machines have room for.
    for z in range(voxels.shape[2]):
        plane = voxels[..., z].T
        if (slope, intercept) != (1, 0):
            plane = plane.astype(np.float64) * slope + intercept
        # Adding 0 makes one of the two zeros that floats have.
        digest.update(np.ascontiguousarray(plane.astype(np.float32) + np.float32(0)))
    return digest.hexdigest()
