"""Which voxels of one grid lie beside those of another, along one axis."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Axis:
    """Between which voxels of the source each voxel of the target lies; both grids cover the same length.

    Attributes:
        lower, upper: (n,), the neighbours, the same one at the ends.
        weight: (n,), of the upper one; None where the lower one is taken as it is.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    weight: torch.Tensor | None

    @classmethod
    def linear(cls, source: int, target: int) -> "Axis":
        """Voxel centres as torch's interpolation places them."""
        if source == target:
            return cls.nearest(source, target)
        numbers = torch.arange(source, dtype=torch.float64)
        places = F.interpolate(numbers[None, None], target, mode="linear")[0, 0]
        lower = places.long()
        return cls(lower, (lower + 1).clamp_(max=source - 1), (places - lower).float())

    @classmethod
    def nearest(cls, source: int, target: int) -> "Axis":
        """The one voxel that torch's nearest-exact interpolation takes."""
        # In single precision, as voxels are: where two are as near, rounding decides.
        numbers = torch.arange(source, dtype=torch.float32)
        taken = F.interpolate(numbers[None, None], target, mode="nearest-exact")[0, 0].long()
        return cls(taken, taken, None)

    def source(self, target: slice) -> slice:
        """The voxels of the source that those of the target need."""
        return slice(int(self.lower[target.start]), int(self.upper[target.stop - 1]) + 1)

    def reached_from(self, voxels: np.ndarray) -> slice | None:
        """The voxels of the target that need one of those of the source that are True; None where there are none."""
        reached = np.flatnonzero(voxels[self.lower.numpy()] | voxels[self.upper.numpy()])
        return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else None

    def resample(self, values: torch.Tensor, dim: int, target: slice) -> torch.Tensor:
        """Values on the voxels `target`, from those on `source(target)`, along the dimension `dim`."""
        start = self.lower[target.start]
        lower = values.index_select(dim, self.lower[target] - start)
        if self.weight is None:
            return lower
        shape = [1] * values.ndim
        shape[dim] = -1
        return lower.lerp_(values.index_select(dim, self.upper[target] - start), self.weight[target].view(shape))
