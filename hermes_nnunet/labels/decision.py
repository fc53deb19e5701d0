"""Which label value a voxel gets, given one score for each task."""

from collections.abc import Iterable, Sequence

import torch


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
    scores: torch.Tensor, threshold: float, written_values: Sequence[int], groups: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Segmentation (D, H, W), int16, from scores (T, D, H, W): logits (threshold 0) or probabilities (0.5).

    Within a group tasks are painted in order, as nnU-Net paints regions; a group's score is that of the task that ends
    up on top. Between groups the highest score wins; background where no task exceeds the threshold.
    """
    decision = Decision(threshold)
    for group in groups:
        decision.add_group((scores[task], written_values[task]) for task in group)
    return decision.segmentation


class Decision:
    """What `decide` says, one task after another, so that the scores of all tasks need not be there at once.

    Attributes:
        segmentation: (D, H, W), int16, by the groups added so far.
    """

    segmentation: torch.Tensor

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._best: torch.Tensor | None = None

    def add_group(self, tasks: Iterable[tuple[torch.Tensor, int]]) -> None:
        """Scores (D, H, W) and written value of each task of a group, in the order in which they are painted."""
        painted: tuple[torch.Tensor, torch.Tensor | int] | None = None
        for score, value in tasks:
            painted = self._paint(painted, score, value)
        if painted is None:
            return
        score, top_value = painted
        if self._best is None:
            self._best = torch.full_like(score, self._threshold)
            self.segmentation = torch.zeros(score.shape, dtype=torch.int16, device=score.device)
        wins = score > self._best
        self._best = torch.where(wins, score, self._best)
        self.segmentation = torch.where(wins, top_value, self.segmentation)

    def _paint(
        self, below: tuple[torch.Tensor, torch.Tensor | int] | None, score: torch.Tensor, value: int
    ) -> tuple[torch.Tensor, torch.Tensor | int]:
        if below is None:
            return score, value
        over = score > self._threshold
        return torch.where(over, score, below[0]), torch.where(over, value, below[1]).to(torch.int16)
