"""Where the voxels of an image lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from hermes_nnunet.errors import HermesError

GEOMETRY_TOLERANCE_MM = 1e-3
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# No image of a patient has voxels of these lengths (mm) or beyond; they are of other units, or were never set.
SMALLEST_MM, LARGEST_MM = 0.01, 1e4
# Nor is any longer.
_LONGEST_MM = 1e4
# Volume of a voxel as a share of the product of its edges: below it, the axes lie in one plane.
_FLAT = 1e-3
_RAS = axcodes2ornt("RAS")


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an image lie.

    Attributes:
        shape: voxels along the image's own axes (X, Y, Z).
        affine: (4, 4), voxel indices to mm in RAS.
        spacing: mm along the same axes.
        header: fields of a NIfTI header that say the same, codes included; empty where the image is of another format.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    spacing: tuple[float, float, float]
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, also where the axes are not at right angles."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def ras_affine(self) -> np.ndarray:
        """Affine of the voxels after `to_ras`."""
        return self.affine @ inv_ornt_aff(io_orientation(self.affine), self.shape)

    @property
    def ras_spacing(self) -> tuple[float, float, float]:
        """Spacing after `to_ras`."""
        x, y, z = (self.spacing[axis] for axis in np.argsort(io_orientation(self.affine)[:, 0]))
        return x, y, z

    @property
    def ras_shape(self) -> tuple[int, int, int]:
        """Shape after `to_ras`."""
        x, y, z = (self.shape[axis] for axis in np.argsort(io_orientation(self.affine)[:, 0]))
        return x, y, z

    def to_ras(self, voxels: np.ndarray) -> np.ndarray:
        """Voxels (X, Y, Z) with axes that run to the patient's right, front and head, as nearly as they can."""
        return apply_orientation(voxels, io_orientation(self.affine))


def from_ras(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The inverse of `Geometry.to_ras` for an image with this affine."""
    return apply_orientation(voxels, ornt_transform(_RAS, io_orientation(affine)))


def axis_lengths(affine: np.ndarray) -> np.ndarray:
    """Length (mm) of a step along each axis of voxels."""
    return np.sqrt((affine[:3, :3] ** 2).sum(0))


def is_usable(affine: np.ndarray) -> bool:
    """Whether it is of numbers, and its three axes span a space."""
    if not np.isfinite(affine).all():
        return False
    lengths = axis_lengths(affine)
    return bool((lengths > 0).all() and abs(np.linalg.det(affine[:3, :3] / lengths)) > _FLAT)


def check_plausible(geometry: Geometry, name: str) -> Geometry:
    """The geometry, if an image of a patient can have it.

    Raises:
        HermesError: it has no voxels, or their size or the image's is of another world; `name` begins the message.
    """
    if min(geometry.shape) < 1:
        raise HermesError(f"{name} has shape {geometry.shape}, so no voxels: give another image")
    said = " x ".join(f"{length:.6g}" for length in geometry.spacing)
    lengths = np.array([*geometry.spacing, *axis_lengths(geometry.affine)])
    # Written to be true of NaN too.
    if not ((lengths > SMALLEST_MM) & (lengths < LARGEST_MM)).all():
        raise HermesError(
            f"{name} has voxels of {said} mm, which no image has (above {SMALLEST_MM:g} and below {LARGEST_MM:g} mm): "
            "mend its header"
        )
    if max(np.array(geometry.shape) * geometry.spacing) > _LONGEST_MM:
        raise HermesError(
            f"{name} has {' x '.join(map(str, geometry.shape))} voxels of {said} mm, so it is longer than "
            f"{_LONGEST_MM / 1000:g} m: mend its header, which may be in another unit"
        )
    return geometry


def grid_problem(first: Geometry, first_name: str, second: Geometry, second_name: str) -> str | None:
    """What keeps two images from lying on one grid, in words; None where they do, in whatever order of axes."""
    if _is_same(first, second):
        return None
    if first.ras_shape != second.ras_shape:
        return f"{first_name} has shape {first.shape}, but {second_name} {second.shape}"
    in_one_order = _apart(first.ras_affine, second.ras_affine)
    if in_one_order <= GEOMETRY_TOLERANCE_MM:
        return None
    return (
        f"the affines of {first_name} and {second_name} differ by "
        f"{min(in_one_order, _apart(first.affine, second.affine)):.4g} mm (allowed {GEOMETRY_TOLERANCE_MM} mm)"
    )


def in_axes_of(other: Geometry, voxels: np.ndarray, own: Geometry) -> np.ndarray:
    """Voxels (X, Y, Z) in the order of another image's axes, which lies on the same grid."""
    return voxels if _is_same(own, other) else from_ras(own.to_ras(voxels), other.affine)


def _is_same(first: Geometry, second: Geometry) -> bool:
    """Whether two images have the same voxels in the same order."""
    return first.shape == second.shape and _apart(first.affine, second.affine) <= GEOMETRY_TOLERANCE_MM


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference of two affines in mm."""
    return float(np.abs(first - second).max())


def check_one_grid(channels: Mapping[str, Geometry]) -> None:
    """See that all channels of a case, by their names, lie on the same voxels.

    Raises:
        HermesError: they do not.
    """
    (first_name, first), *others = channels.items()
    for name, geometry in others:
        problem = grid_problem(geometry, name, first, first_name)
        if problem is not None:
            raise HermesError(f"{problem}: the channels of a case must lie on one grid")
