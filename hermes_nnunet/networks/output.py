"""What a network gives to the loss."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from hermes_nnunet.networks.context_batch import NULL_ROW, ContextBatch


class HermesOutput(NamedTuple):
    """Output of a network in training, or with deep supervision on.

    Attributes:
        logits: highest resolution first, each (B, R, D, H, W), one channel a row of the context.
        modality_logits: (B, modalities).
        context: the contexts that the batch was run with.
    """

    logits: list[torch.Tensor]
    modality_logits: torch.Tensor
    context: ContextBatch


def joined(outputs: Sequence[HermesOutput]) -> HermesOutput:
    """Outputs of several batches as that of one, which has null rows where a batch had fewer rows than another."""
    rows = max(output.context.task_index.shape[1] for output in outputs)

    def padded(x: torch.Tensor, value: int) -> torch.Tensor:
        """(B, fewer, ...) -> (B, rows, ...)."""
        return pad(x, (0, 0) * (x.ndim - 2) + (0, rows - x.shape[1]), value=value)

    return HermesOutput(
        [torch.cat([padded(own, 0) for own in logits]) for logits in zip(*(o.logits for o in outputs), strict=True)],
        torch.cat([output.modality_logits for output in outputs]),
        ContextBatch(
            torch.cat([padded(output.context.task_index, NULL_ROW) for output in outputs]),
            torch.cat([output.context.modality_index for output in outputs]),
        ),
    )
