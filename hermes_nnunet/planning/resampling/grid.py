"""Channels on other voxels, a few planes at a time."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

from hermes_nnunet.planning.labels.scores import Box, TaskScores
from hermes_nnunet.planning.resampling.axis import Axis

# What is computed at a time should stay in the processor's cache.
PLANES = 4
# First the planes, of which few are needed; rows last, because they are copied whole.
DIMENSIONS = (0, 2, 1)


class Resampled(TaskScores):
    """Channels (T, D, H, W), linear between given ones, as nnU-Net's resample_torch_fornnunet computes them.

    An interpolated number is above 0 only beside a given one that is. So where tasks are decided for, a channel is
    computed only around such voxels, and one with none is not computed at all.

    Args:
        channels: T.
        source: d, h, w.
        given: the numbers of a channel in a box of the source.
        shape: D, H, W.
        nearest_axis: the axis along which the nearest voxel is taken, if there is one.
    """

    def __init__(
        self,
        channels: int,
        source: Sequence[int],
        given: Callable[[int, Box], torch.Tensor],
        shape: Sequence[int],
        nearest_axis: int | None = None,
    ) -> None:
        super().__init__((channels, *shape), self._compute_whole)
        self._given = given
        self._axes = [
            Axis.nearest(old, new) if axis == nearest_axis else Axis.linear(old, new)
            for axis, (old, new) in enumerate(zip(source, self.shape[1:], strict=True))
        ]
        self._source: Box = (slice(0, source[0]), slice(0, source[1]), slice(0, source[2]))

    def boxes(self, tasks: Sequence[int]) -> Iterator[Box]:
        """A box for every few planes that have a voxel where some channel of `tasks` may be above 0."""
        above = _above_zero(self._given(tasks[0], self._source))
        for task in tasks[1:]:
            above |= _above_zero(self._given(task, self._source))
        for planes in self._planes():
            touched = np.any(above[self._axes[0].source(planes)], axis=0)
            rows, columns = (self._axes[axis].reached_from(np.any(touched, axis=2 - axis)) for axis in (1, 2))
            if rows is not None and columns is not None:
                yield planes, rows, columns

    def in_box(self, task: int, box: Box) -> torch.Tensor:
        """Numbers (d, h, w), float32, of a channel."""
        z, y, x = (axis.source(wanted) for axis, wanted in zip(self._axes, box, strict=True))
        return self._interpolated(self._given(task, (z, y, x)).float(), box)

    @property
    def _interpolates(self) -> bool:
        """Whether any number lies between given ones."""
        return any(axis.weight is not None for axis in self._axes)

    def _interpolated(self, values: torch.Tensor, box: Box) -> torch.Tensor:
        """Numbers in a box, from the given ones that it needs."""
        for dimension in DIMENSIONS:
            values = self._axes[dimension].resample(values, dimension, box[dimension])
        return values

    def to_array(self) -> np.ndarray:
        """All channels, (T, D, H, W), float32."""
        return torch.stack([self.whole(channel) for channel in range(self.shape[0])]).numpy()

    def _compute_whole(self, task: int) -> torch.Tensor:
        _, _, height, width = self.shape
        whole = torch.empty(self.shape[1:])
        for planes in self._planes():
            whole[planes] = self.in_box(task, (planes, slice(0, height), slice(0, width)))
        return whole

    def _planes(self) -> Iterator[slice]:
        for start in range(0, self.shape[1], PLANES):
            yield slice(start, min(start + PLANES, self.shape[1]))


def _above_zero(values: torch.Tensor) -> np.ndarray:
    # numpy compares ten times as fast as torch; half precision, which it does not know well, has its sign as int16.
    array = values.view(torch.int16).numpy() if values.dtype.itemsize == 2 else values.numpy()
    return array > array.dtype.type(0)


def nearest_axis(
    current_spacing: Sequence[float], new_spacing: Sequence[float], force_separate_z: bool | None
) -> int | None:
    """The axis of slices so thick that nothing is interpolated between them; None where there is none.

    Args:
        force_separate_z: None says so by nnU-Net's own limit.
    """
    return determine_do_sep_z_and_axis(force_separate_z, current_spacing, new_spacing)[1]
