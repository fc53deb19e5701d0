"""What tells whether two image files hold the same image."""

import hashlib
from typing import cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import apply_orientation, io_orientation

_DIGEST_BYTES = 16


def content_hash(image: nibabel.Nifti1Image, stored: np.ndarray) -> str:
    """Hash of the voxels, whatever file, compression, number type, scaling or order of axes holds them.

    Values count as float32, axes as those to the right, the front and the head. Where the image lies does not count.

    Args:
        stored: all voxels (X, Y, Z) of the file, unscaled.

    Returns:
        Hexadecimal digits; nothing for an image of one value, which says nothing of whom it shows.
    """
    if stored.size == 0 or (stored == stored.flat[0]).all():
        return ""
    proxy = cast(ArrayProxy, image.dataobj)
    slope, intercept = (1.0 if proxy.slope is None else proxy.slope), proxy.inter or 0.0
    voxels = apply_orientation(stored, io_orientation(image.affine)) if np.isfinite(image.affine).all() else stored
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=_DIGEST_BYTES)
    # Plane by plane, since a second copy of the image is more than many machines have room for.
    for z in range(voxels.shape[2]):
        plane = voxels[..., z].T.astype(np.float64) * slope + intercept
        # Adding 0 makes one of the two zeros that floats have.
        digest.update(np.ascontiguousarray(plane + 0.0, dtype=np.float32))
    return digest.hexdigest()
