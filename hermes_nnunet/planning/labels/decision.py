"""Which label value a voxel gets, given one score for each task."""

from collections.abc import Iterable, Sequence

import torch

from hermes_nnunet.planning.labels.scores import Box, TaskScores


def overlapping_groups(values: Sequence[Iterable[int]]) -> list[list[int]]:
    """Groups of tasks whose label values overlap, directly or through others; each in the order given.

    Tasks of a group are nnU-Net regions of one another (a tumour core within a whole tumour); tasks of different groups
    exclude each other.
    """
    groups: list[tuple[set[int], list[int]]] = []
    for task, own in enumerate(values):
        merged_values, merged_tasks = set(own), [task]
        separate = []
        for group_values, group_tasks in groups:
            if group_values & merged_values:
                merged_values |= group_values
                merged_tasks = group_tasks + merged_tasks
            else:
                separate.append((group_values, group_tasks))
        groups = [*separate, (merged_values, merged_tasks)]
    return sorted(sorted(tasks) for _, tasks in groups)


def decide(
    scores: torch.Tensor | TaskScores, threshold: float, written_values: Sequence[int], groups: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Segmentation (D, H, W), int16, from scores (T, D, H, W): logits (threshold 0) or probabilities (0.5).

    Within a group tasks are painted in order, as nnU-Net paints regions; a group's score is that of the task that ends
    up on top. Between groups the highest score wins; background where no task exceeds the threshold.
    """
    if isinstance(scores, torch.Tensor):
        scores = TaskScores(scores.shape, scores.__getitem__)
    decision = Decision(scores.shape[1:], threshold)
    for group in groups:
        decision.add_group(scores, group, written_values)
    return decision.segmentation


class Decision:
    """What `decide` says, one group of tasks after another, so that not all scores need be there at once.

    Args:
        shape: D, H, W of the image.

    Attributes:
        segmentation: (D, H, W), int16, by the groups added so far.
    """

    def __init__(self, shape: Sequence[int], threshold: float) -> None:
        self.segmentation = torch.zeros(tuple(shape), dtype=torch.int16)
        self._threshold = threshold
        self._best: torch.Tensor | None = None

    def add_group(
        self, scores: TaskScores, tasks: Sequence[int], written_values: Sequence[int], corner: Sequence[int] = (0, 0, 0)
    ) -> None:
        """Let a group of tasks compete.

        Args:
            tasks: in the order in which they are painted.
            written_values: of all tasks of `scores`.
            corner: first voxel of the image that `scores` covers.
        """
        for box in scores.boxes(tasks):
            painted = None
            for task in tasks:
                painted = self._paint(painted, scores.in_box(task, box), written_values[task])
            if painted is not None:
                self._compete(*painted, _moved(box, corner))

    def _paint(
        self, below: tuple[torch.Tensor, torch.Tensor | int] | None, score: torch.Tensor, value: int
    ) -> tuple[torch.Tensor, torch.Tensor | int]:
        if below is None:
            return score, value
        over = score > self._threshold
        return torch.where(over, score, below[0]), torch.where(over, value, below[1]).to(torch.int16)

    def _compete(self, score: torch.Tensor, value: torch.Tensor | int, place: Box) -> None:
        if self._best is None:
            precision = torch.promote_types(score.dtype, torch.float32)
            self._best = torch.full_like(self.segmentation, self._threshold, dtype=precision)
        best, segmentation = self._best[place], self.segmentation[place]
        wins = score > best
        torch.maximum(best, score, out=best)
        # Sums and products take a tenth of the time of torch.where.
        segmentation += (value - segmentation) * wins


def _moved(box: Box, corner: Sequence[int]) -> Box:
    z, y, x = (slice(side.start + start, side.stop + start) for side, start in zip(box, corner, strict=True))
    return z, y, x
