"""The sums over voxels that the loss is made of, in pieces that keep no target volume for the backward pass."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional

NO_VALUE = -1
# Logits that are worked on at a time: few enough to stay in a processor's cache, many enough to fill a GPU.
PIECE_ON_CPU = 2**18
PIECE_ON_GPU = 2**23

Piece = tuple[slice, slice]


class _VoxelSums(Function):
    """See `voxel_sums`. Only the logits and the label map are kept; everything else is computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        labels: torch.Tensor,
        values: torch.Tensor,
        ignore_label: int | None,
        negatives: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(logits, labels, values, *(() if negatives is None else (negatives,)))
        ctx.ignore_label = ignore_label
        sums = torch.zeros(4, *logits.shape[:2], dtype=_at_least_single(logits.dtype), device=logits.device)
        extra = slice(_own_rows(logits, negatives), None)
        for case, own_labels in enumerate(labels.flatten(1)):
            own = logits[case, : extra.start].flatten(1)
            for rows, voxels in _pieces(own):
                scores = own[rows, voxels].to(sums.dtype)
                target, counted = _targets(own_labels[voxels], values[case, rows], ignore_label, scores.dtype)
                probability = torch.sigmoid(scores)
                surprise = functional.softplus(scores)
                if counted is not None:
                    for part in (probability, surprise, target):
                        part *= counted
                sums[:, case, rows] += torch.stack(
                    (
                        surprise.sum(1) - _row_products(scores, target),
                        _row_products(probability, target),
                        probability.sum(1),
                        target.sum(1),
                    )
                )
            if negatives is None:
                continue
            others, extra_sums = logits[case, extra].flatten(1), sums[:, case, extra]
            for rows, voxels in _pieces(others):
                scores = others[rows, voxels].to(sums.dtype)
                counted = _counted(own_labels[voxels], negatives[case, rows], scores.dtype)
                extra_sums[0, rows] += _row_products(functional.softplus(scores), counted)
                extra_sums[2, rows] += _row_products(torch.sigmoid(scores), counted)
                extra_sums[3, rows] += counted.sum(1)
        return sums

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        logits, labels, values, *rest = ctx.saved_tensors
        negatives = rest[0] if rest else None
        gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
        extra = slice(_own_rows(logits, negatives), None)
        for case, own_labels in enumerate(labels.flatten(1)):
            own, own_gradient = logits[case, : extra.start].flatten(1), gradient[case, : extra.start].flatten(1)
            for rows, voxels in _pieces(own):
                scores = own[rows, voxels].to(grad.dtype)
                target, counted = _targets(own_labels[voxels], values[case, rows], ctx.ignore_label, scores.dtype)
                bce, overlap, predicted, _ = grad[:, case, rows, None]
                probability = torch.sigmoid(scores)
                slope = torch.addcmul(probability, probability, probability, value=-1)
                # predicted * slope + bce * probability + target * (overlap * slope - bce)
                inside = torch.addcmul(-bce, overlap, slope).mul_(target)
                change = slope.mul_(predicted).addcmul_(probability, bce).add_(inside)
                if counted is not None:
                    change *= counted
                own_gradient[rows, voxels] = change
            if negatives is None:
                continue
            others, others_gradient = logits[case, extra].flatten(1), gradient[case, extra].flatten(1)
            for rows, voxels in _pieces(others):
                scores = others[rows, voxels].to(grad.dtype)
                counted = _counted(own_labels[voxels], negatives[case, rows], scores.dtype)
                bce, _, predicted, _ = grad[:, case, extra, None][:, rows]
                probability = torch.sigmoid(scores)
                slope = torch.addcmul(probability, probability, probability, value=-1)
                others_gradient[rows, voxels] = slope.mul_(predicted).addcmul_(probability, bce).mul_(counted)
        return gradient, None, None, None, None


def voxel_sums(
    logits: torch.Tensor,
    labels: torch.Tensor,
    values: torch.Tensor,
    ignore_label: int | None = None,
    negatives: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sums over the voxels of every (case, row).

    Args:
        logits: (B, R, D, H, W).
        labels: (B, 1, D, H, W) label map of the collection, any integer type.
        values: (B, R, K) label values of each row's task; -1 pads.
        ignore_label: label value whose voxels count in nothing.
        negatives: (B, E, V) which of the label values 0 to V - 1 count in each of the last E rows, where no voxel is
            the target. All that are not ignored count in the other rows.

    Returns:
        (4, B, R), at least float32: binary cross-entropy, probability inside the target (soft true positives),
        probability, size of the target; in the last E rows the number of voxels that count is the last.
    """
    # Automatic mixed precision would make the products half precision numbers, which end at 65504 voxels.
    with torch.autocast(logits.device.type, enabled=False):
        return _VoxelSums.apply(logits, labels, values, ignore_label, negatives)


def counted_voxels(labels: torch.Tensor, ignore_label: int | None) -> torch.Tensor:
    """(B,) number of voxels that are not ignored."""
    if ignore_label is None:
        return torch.full((labels.shape[0],), labels[0].numel(), device=labels.device)
    return (labels != ignore_label).flatten(1).sum(1)


def _at_least_single(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32


def _pieces(scores: torch.Tensor) -> Iterator[Piece]:
    """Rows and voxels of the pieces of (R, N): several whole rows, or a part of one."""
    rows, voxels = scores.shape
    numbers = PIECE_ON_CPU if scores.device.type == "cpu" else PIECE_ON_GPU
    step = max(1, numbers // voxels)
    for row in range(0, rows, step):
        for voxel in range(0, voxels, numbers):
            yield slice(row, min(row + step, rows)), slice(voxel, voxel + numbers)


def _row_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Scalar product of each row of (R, N), without the products in memory."""
    return torch.bmm(a[:, None], b[:, :, None]).flatten()


def _own_rows(logits: torch.Tensor, negatives: torch.Tensor | None) -> int:
    return logits.shape[1] - (0 if negatives is None else negatives.shape[1])


def _counted(labels: torch.Tensor, negatives: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Which voxels count (R, N), of labels (N,) and the values that do (R, V)."""
    return negatives.to(dtype).index_select(1, labels.long())


def _targets(
    labels: torch.Tensor, values: torch.Tensor, ignore_label: int | None, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Binary targets (R, N) of some voxels of a case, and (1, N) which voxels count (None: all)."""
    labels = labels[None]
    target = labels == values[:, :1]
    for k in range(1, values.shape[1]):
        target |= labels == values[:, k : k + 1]
    counted = None if ignore_label is None else (labels != ignore_label).to(dtype)
    return target.to(dtype), counted
