"""Scores of tasks that need not all be in memory at once."""

from collections.abc import Callable, Iterator, Sequence

import torch

Box = tuple[slice, slice, slice]


class TaskScores:
    """Scores of T tasks on the voxels of an image, one task at a time.

    Args:
        shape: (T, D, H, W).
        whole: gives the scores (D, H, W) of a task.
    """

    def __init__(self, shape: Sequence[int], whole: Callable[[int], torch.Tensor]) -> None:
        self.shape = tuple(int(size) for size in shape)
        self._whole = whole

    def whole(self, task: int) -> torch.Tensor:
        """Scores (D, H, W) of a task."""
        return self._whole(task)

    def boxes(self, tasks: Sequence[int]) -> Iterator[Box]:
        """Boxes of voxels, none twice; outside of them none of `tasks` can be decided for. Here all voxels in one."""
        _, depth, height, width = self.shape
        yield slice(0, depth), slice(0, height), slice(0, width)

    def in_box(self, task: int, box: Box) -> torch.Tensor:
        """Scores (d, h, w) of a task in one of its boxes."""
        return self.whole(task)[box]
