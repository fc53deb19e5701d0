"""Logits on the voxels of the image, computed where they are looked at."""

from collections.abc import Sequence

import numpy as np
import torch

from hermes_nnunet.planning.resampling.grid import Resampled, nearest_axis


def resample_logits_by_task(
    data: torch.Tensor | np.ndarray,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    force_separate_z: bool | None = None,
) -> Resampled:
    """What plans name as `resampling_fn_probabilities`: nothing of size tasks x voxels of the image is made.

    Args:
        data: logits (T, d, h, w), in any precision.
        force_separate_z: as nnU-Net has it; None lets the spacing decide.
    """
    logits = torch.as_tensor(data)
    axis = nearest_axis(current_spacing, new_spacing, force_separate_z)
    return Resampled(len(logits), logits.shape[1:], lambda task, box: logits[task][box], new_shape, axis)
