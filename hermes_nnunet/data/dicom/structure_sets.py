"""Structures of an RTSTRUCT as masks: its contours, filled on the slices that they were drawn on."""

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.images.geometry import LPS_TO_RAS
from hermes_nnunet.data.conversion import Grid
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from pydicom import Dataset

# Closed contours of one plane add up by XOR: one within another is a hole. The older of the two types is meant for
# holes that a keyhole joins to the outside, which XOR fills just the same.
CLOSED_TYPES = ("CLOSED_PLANAR", "CLOSED_PLANAR_XOR")
_FEWEST_POINTS = 3
# Share of the slice distance by which a contour may lie off its slice.
_OFF_SLICE = 0.1
# Slices may be left out on purpose, or be forgotten, once.
_FEWEST_STEPS = 2


def contours_by_name(dataset: "Dataset") -> dict[str, list[np.ndarray]]:
    """Closed contours of every structure that has any, each (points, 3) in mm in LPS.

    Raises:
        HermesError: two structures have one name.
    """
    names = {int(roi.ROINumber): str(roi.ROIName).strip() for roi in dataset.get("StructureSetROISequence", ())}
    found: dict[str, list[np.ndarray]] = {}
    for roi in dataset.get("ROIContourSequence", ()):
        contours = [
            np.reshape(np.asarray(contour.ContourData, dtype=float), (-1, 3))
            for contour in roi.get("ContourSequence", None) or ()
            if contour.ContourGeometricType in CLOSED_TYPES
        ]
        name = names.get(int(roi.ReferencedROINumber), "")
        if not contours or not name:
            continue
        if name in found:
            raise HermesError(f"two structures are named '{name}'")
        found[name] = contours
    return found


def filled(contours: list[np.ndarray], grid: Grid) -> np.ndarray:
    """Mask (X, Y, Z) of the voxels whose centre lies in an odd number of contours.

    Raises:
        HermesError: a contour does not lie on one of the grid's slices, or there is one on every second (third, ...)
            slice only.
    """
    from skimage.draw import polygon

    mask = np.zeros(grid.shape, dtype=bool)
    to_index = np.linalg.inv(grid.affine) @ LPS_TO_RAS
    for contour in contours:
        if len(contour) < _FEWEST_POINTS:
            continue
        x, y, z = to_index[:3, :3] @ contour.T + to_index[:3, 3:]
        x, y = polygon(x, y, grid.shape[:2])
        plane = mask[..., _slice_index(z, grid, contour)]
        plane[x, y] = ~plane[x, y]
    _check_steps(mask)
    return mask


def _check_steps(mask: np.ndarray) -> None:
    """Raises: HermesError where most contours of one part, which lie over each other, leave out the same slices."""
    drawn = np.flatnonzero(mask.any(axis=(0, 1))).tolist()
    steps = [above - below for below, above in pairwise(drawn) if (mask[..., below] & mask[..., above]).any()]
    for step, count in Counter(steps).items():
        if step > 1 and count >= _FEWEST_STEPS and 2 * count > len(steps):
            raise HermesError(
                f"its contours lie {step} slices apart, so that the slices between would be background: interpolate "
                "them in the program that drew them, or leave the structure out with --labels"
            )


def _slice_index(z: np.ndarray, grid: Grid, contour: np.ndarray) -> int:
    index = round(float(z.mean()))
    at = f"a contour near ({', '.join(f'{value:.1f}' for value in contour[0])}) mm"
    if not 0 <= index < grid.shape[2]:
        raise HermesError(f"{at} lies outside the {grid.shape[2]} slices of the series")
    off = float(np.abs(z - index).max())
    if off > _OFF_SLICE:
        raise HermesError(f"{at} lies {off:.2g} slices off the nearest slice, not on it: draw on the slices")
    return index
