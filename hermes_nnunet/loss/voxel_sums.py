"""The sums over voxels that the loss is made of, in one pass that keeps no target volume for the backward pass."""

from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional

NO_VALUE = -1


class _VoxelSums(Function):
    """See `voxel_sums`. Only the logits and the label map are kept; everything else is computed again."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor, values: torch.Tensor, ignore_label: int | None
    ) -> torch.Tensor:
        ctx.save_for_backward(logits, labels, values)
        ctx.ignore_label = ignore_label
        sums = []
        for case in range(logits.shape[0]):
            scores = _at_least_single(logits[case]).flatten(1)
            target, counted = _targets(labels[case], values[case], ignore_label, scores.dtype)
            probability = torch.sigmoid(scores)
            surprise = functional.softplus(scores)
            if counted is not None:
                probability, surprise = probability * counted, surprise * counted
                target = target * counted
            sums.append(
                torch.stack(
                    (
                        surprise.sum(1) - (scores * target).sum(1),
                        (probability * target).sum(1),
                        probability.sum(1),
                        target.sum(1),
                    )
                )
            )
        return torch.stack(sums, dim=1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        logits, labels, values = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for case in range(logits.shape[0]):
            scores = _at_least_single(logits[case]).flatten(1)
            target, counted = _targets(labels[case], values[case], ctx.ignore_label, scores.dtype)
            bce, overlap, predicted, _ = grad[:, case, :, None].to(scores.dtype)
            probability = torch.sigmoid(scores)
            slope = probability * (1 - probability) * (predicted + overlap * target)
            slope += bce * (probability - target)
            if counted is not None:
                slope *= counted
            gradient[case] = slope.view(logits[case].shape)
        return gradient, None, None, None


def voxel_sums(
    logits: torch.Tensor, labels: torch.Tensor, values: torch.Tensor, ignore_label: int | None = None
) -> torch.Tensor:
    """Sums over the voxels of every (case, row).

    Args:
        logits: (B, R, D, H, W).
        labels: (B, 1, D, H, W) label map of the collection, any integer type.
        values: (B, R, K) label values of each row's task; -1 pads.
        ignore_label: label value whose voxels count in nothing.

    Returns:
        (4, B, R), at least float32: binary cross-entropy, probability inside the target (soft true positives),
        probability, size of the target.
    """
    return _VoxelSums.apply(logits, labels, values, ignore_label)


def counted_voxels(labels: torch.Tensor, ignore_label: int | None) -> torch.Tensor:
    """(B,) number of voxels that are not ignored."""
    if ignore_label is None:
        return torch.full((labels.shape[0],), labels[0].numel(), device=labels.device)
    return (labels != ignore_label).flatten(1).sum(1)


def _at_least_single(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _targets(
    labels: torch.Tensor, values: torch.Tensor, ignore_label: int | None, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Binary targets (R, N) of one case, and (1, N) which voxels count (None: all)."""
    labels = labels.flatten()[None]
    target = labels == values[:, :1]
    for k in range(1, values.shape[1]):
        target |= labels == values[:, k : k + 1]
    counted = None if ignore_label is None else (labels != ignore_label).to(dtype)
    return target.to(dtype), counted
