"""Logits on the voxels of the image, computed from those of the network where they are looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis
from numpy.typing import DTypeLike

from hermes_nnunet.labels.scores import Box, TaskScores

# What is computed at a time should stay in the processor's cache.
PLANES = 4
# First the planes, of which few are needed; rows last, because they are copied whole.
AXES = (0, 2, 1)


class ResampledLogits(TaskScores):
    """Logits (T, D, H, W), linear between those of the network, as nnU-Net's resample_torch_fornnunet computes them.

    An interpolated logit is above 0 only beside a voxel of the network that is. So a task is computed only around those
    voxels when tasks are decided for, and one with none is not computed at all.

    Args:
        logits: (T, d, h, w) on the network's voxels, in any precision.
        shape: D, H, W.
        nearest_axis: the axis along which the nearest voxel is taken, if there is one.
    """

    def __init__(self, logits: torch.Tensor, shape: Sequence[int], nearest_axis: int | None = None) -> None:
        super().__init__((len(logits), *shape), self._compute_whole)
        self._logits = logits
        self._axes = [
            _Axis.between(old, new, nearest=axis == nearest_axis)
            for axis, (old, new) in enumerate(zip(logits.shape[1:], self.shape[1:], strict=True))
        ]

    def boxes(self, tasks: Sequence[int]) -> Iterator[Box]:
        """A box for every few planes that have a voxel where some task of `tasks` may be above 0."""
        above = self._logits[tasks[0]] > 0
        for task in tasks[1:]:
            above |= self._logits[task] > 0
        for planes in self._planes():
            touched = above[self._axes[0].source(planes)].numpy()
            rows, columns = (self._axes[axis].reached_from(np.any(touched, (0, 3 - axis))) for axis in (1, 2))
            if rows is not None and columns is not None:
                yield planes, rows, columns

    def in_box(self, task: int, box: Box) -> torch.Tensor:
        """Logits (d, h, w), float32."""
        source = [axis.source(wanted) for axis, wanted in zip(self._axes, box, strict=True)]
        scores = self._logits[task][tuple(source)].float()
        for dim in AXES:
            scores = self._axes[dim].resample(scores, dim, box[dim])
        return scores

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """All of them, (T, D, H, W), float32 if nothing else is asked for."""
        array = np.empty(self.shape, dtype or np.float32)
        for task, place in enumerate(array):
            place[...] = self.whole(task).numpy()
        return array

    def _compute_whole(self, task: int) -> torch.Tensor:
        whole = torch.empty(self.shape[1:])
        for planes in self._planes():
            whole[planes] = self.in_box(task, (planes, slice(0, self.shape[2]), slice(0, self.shape[3])))
        return whole

    def _planes(self) -> Iterator[slice]:
        for start in range(0, self.shape[1], PLANES):
            yield slice(start, min(start + PLANES, self.shape[1]))


@dataclass(frozen=True)
class _Axis:
    """Between which voxels of the source, along one axis, each voxel of the target lies.

    Attributes:
        lower, upper: (n,), the neighbours; upper is that of the source's end beyond which nothing is.
        weight: (n,), of the upper one; None where the lower one is taken as it is.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    weight: torch.Tensor | None

    @classmethod
    def between(cls, source: int, target: int, *, nearest: bool) -> "_Axis":
        centres = (torch.arange(target, dtype=torch.float32) + 0.5) * (source / target)
        if nearest or source == target:
            lower = centres.long().clamp_(max=source - 1)
            return cls(lower, lower, None)
        centres = (centres - 0.5).clamp_(min=0)
        lower = centres.long().clamp_(max=source - 1)
        return cls(lower, (lower + 1).clamp_(max=source - 1), centres - lower)

    def source(self, target: slice) -> slice:
        """The voxels of the source that those of the target need."""
        return slice(int(self.lower[target.start]), int(self.upper[target.stop - 1]) + 1)

    def reached_from(self, voxels: np.ndarray) -> slice | None:
        """The voxels of the target that need one of those of the source that are True; None where there are none."""
        reached = np.flatnonzero(voxels[self.lower.numpy()] | voxels[self.upper.numpy()])
        return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else None

    def resample(self, scores: torch.Tensor, dim: int, target: slice) -> torch.Tensor:
        """Scores on the voxels `target`, from those on `source(target)`, along the dimension `dim`."""
        start = self.lower[target.start]
        lower = scores.index_select(dim, self.lower[target] - start)
        if self.weight is None:
            return lower
        shape = [1, 1, 1]
        shape[dim] = -1
        return lower.lerp_(scores.index_select(dim, self.upper[target] - start), self.weight[target].view(shape))


def resample_logits_by_task(
    data: torch.Tensor | np.ndarray,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    force_separate_z: bool | None = None,
) -> ResampledLogits:
    """What plans name as `resampling_fn_probabilities`: nothing of size tasks x voxels of the image is made.

    Args:
        data: logits (T, d, h, w).
        force_separate_z: take the nearest plane along the axis of thick slices; None does so above nnU-Net's limit.
    """
    _, axis = determine_do_sep_z_and_axis(force_separate_z, current_spacing, new_spacing)
    return ResampledLogits(torch.as_tensor(data), [int(size) for size in new_shape], axis)
