"""The surface of a task, as a mesh."""

import struct
from collections.abc import Sequence

import numpy as np

# Voxels along the longest side of what a surface is drawn around; larger structures are drawn a little coarser.
_MOST_STEPS = 110
_SMOOTHING = 0.8
# MZ3, of Surfice and NiiVue: little-endian, faces and vertices.
_MZ3 = struct.Struct("<HHIII")
_MAGIC = 0x5A4D
_FACES, _VERTICES = 1, 2


def surface(mask: np.ndarray, spacing: Sequence[float], origin: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) in mm and triangles (M, 3) around a mask; both empty where it is.

    Args:
        mask: boolean (X, Y, Z).
        spacing: mm along its axes.
        origin: mm of its first voxel's centre.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import block_reduce, marching_cubes

    sides = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    if not sides[0].size:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32)
    starts = np.array([side[0] for side in sides])
    box = mask[tuple(slice(side[0], side[-1] + 1) for side in sides)]
    steps = tuple(-(-length // _MOST_STEPS) for length in box.shape)
    shares = block_reduce(box.astype(np.float32), steps, np.mean) if max(steps) > 1 else box.astype(np.float32)
    # Room for the smoothing, and so that what touches the border of the image is closed.
    padding = 3
    padded = np.pad(shares, padding)
    smooth = gaussian_filter(padded, _SMOOTHING)
    if smooth.max() <= 0.5:  # thinner than the smoothing
        smooth = padded / padded.max()
    vertices, triangles, _, _ = marching_cubes(smooth, 0.5)
    inside_block = (np.array(steps) - 1) / 2
    voxels = starts + (vertices - padding) * steps + inside_block
    return (np.asarray(origin) + voxels * np.asarray(spacing)).astype(np.float32), triangles[:, ::-1].astype(np.uint32)


def mz3(vertices: np.ndarray, triangles: np.ndarray) -> bytes:
    """A mesh as the content of an MZ3 file."""
    header = _MZ3.pack(_MAGIC, _FACES | _VERTICES, len(triangles), len(vertices), 0)
    return header + triangles.astype("<u4").tobytes() + vertices.astype("<f4").tobytes()
