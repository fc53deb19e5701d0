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
    shape = scores.shape[1:]
    best = torch.full(shape, threshold, dtype=scores.dtype, device=scores.device)
    segmentation = torch.zeros(shape, dtype=torch.int16, device=scores.device)
    for group in groups:
        top_score: torch.Tensor = scores[group[0]]
        top_value: torch.Tensor | int = written_values[group[0]]
        if len(group) > 1:
            top_score, top_value = _paint(scores, threshold, written_values, group)
        wins = top_score > best
        best = torch.where(wins, top_score, best)
        segmentation = torch.where(wins, top_value, segmentation)
    return segmentation


def _paint(
    scores: torch.Tensor, threshold: float, written_values: Sequence[int], group: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    top_score = torch.full_like(scores[0], threshold)
    top_value = torch.zeros(scores.shape[1:], dtype=torch.int16, device=scores.device)
    for task in group:
        painted = scores[task] > threshold
        top_score = torch.where(painted, scores[task], top_score)
        top_value = torch.where(painted, written_values[task], top_value)
    return top_score, top_value
