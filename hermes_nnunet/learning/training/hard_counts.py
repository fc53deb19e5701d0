"""True and false positives of thresholded logits, for the Dice of each validation epoch."""

import numpy as np
import torch

from hermes_nnunet.networks.context_batch import NULL_ROW


@torch.no_grad()
def hard_counts(
    logits: torch.Tensor,
    labels: torch.Tensor,
    task_index: torch.Tensor,
    task_values: torch.Tensor,
    ignore_label: int | None,
) -> dict[str, np.ndarray]:
    """tp_hard, fp_hard and fn_hard, each (tasks of the pool,), summed over the batch.

    Args:
        logits: (B, R, D, H, W).
        labels: (B, 1, D, H, W) label map of the collection.
        task_index: (B, R), -1 pads.
        task_values: (tasks + 1, K) label values of each task, -1 pads.
        ignore_label: label value whose voxels are not counted.
    """
    counts = np.zeros((3, task_values.shape[0] - 1))
    for case, rows in enumerate(task_index.tolist()):
        counted = None if ignore_label is None else labels[case, 0] != ignore_label
        for row, task in enumerate(rows):
            if task == NULL_ROW:
                continue
            predicted = logits[case, row] > 0
            target = torch.isin(labels[case, 0], task_values[task].to(labels.dtype))
            if counted is not None:
                predicted, target = predicted & counted, target & counted
            true_positive = (predicted & target).sum().item()
            counts[:, task] += (
                true_positive,
                predicted.sum().item() - true_positive,
                target.sum().item() - true_positive,
            )
    return dict(zip(("tp_hard", "fp_hard", "fn_hard"), counts, strict=True))
