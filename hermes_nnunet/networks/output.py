"""What a network gives to the loss."""

from typing import NamedTuple

import torch

from hermes_nnunet.networks.context_batch import ContextBatch


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
