"""What tells whether two image files hold the same image."""

import hashlib

import numpy as np

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
    unscaled, slope, intercept = image.unscaled()
    voxels = image.geometry.to_ras(unscaled)
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
