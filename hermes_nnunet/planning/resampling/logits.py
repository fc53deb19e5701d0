"""Logits on the voxels of the image, computed where they are looked at."""

from collections.abc import Sequence

import numpy as np
import torch

from hermes_nnunet.planning.labels.scores import Box
from hermes_nnunet.planning.resampling.grid import Resampled, nearest_axis

# The last float32 before 1: a logit is 17.4 at most. What is certainly not there stays so, at minus infinity.
_SUREST = 1 - 2**-24


def resample_logits_by_task(
    data: torch.Tensor | np.ndarray,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    force_separate_z: bool | None = None,
    interpolate_probabilities: bool = False,
) -> Resampled:
    """What plans name as `resampling_fn_probabilities`: nothing of size tasks x voxels of the image is made.

    Args:
        data: logits (T, d, h, w), in any precision.
        force_separate_z: as nnU-Net has it; None lets the spacing decide.
        interpolate_probabilities: give the logits of interpolated probabilities. Interpolated logits, as nnU-Net has
            them and older plans of Hermes, thin what is a few voxels wide: a sigmoid is surer of what is not there than
            of what is, and between 3 and -10 the logit is 0 after a quarter of the way, the probability one half after
            almost half of it.
    """
    logits = torch.as_tensor(data)
    axis = nearest_axis(current_spacing, new_spacing, force_separate_z)
    kind = _ByProbability if interpolate_probabilities else Resampled
    return kind(len(logits), logits.shape[1:], lambda task, box: logits[task][box], new_shape, axis)


class _ByProbability(Resampled):
    """Logits whose probabilities are linear between those of the given logits."""

    def _interpolated(self, values: torch.Tensor, box: Box) -> torch.Tensor:
        if not self._interpolates:
            return super()._interpolated(values, box)
        # 2 p - 1, whose precision is that of p where it matters, around one half.
        differences = super()._interpolated(torch.tanh(values / 2), box)
        return differences.clamp_(max=_SUREST).atanh_().mul_(2)
