"""Instance norm that knows the modality of every image."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.networks.context_batch import ContextBatch, ContextualLayer
from hermes_nnunet.networks.lookup import looked_up


class ModalityNorm(ContextualLayer, nn.InstanceNorm3d):
    """Instance norm whose gain and bias of a channel are shared ones plus those of the image's modality.

    Between the image and the first fusion place nothing else tells a convolution which modality it sees. The gains and
    biases of the modalities start at 0, so that the network begins as nnU-Net's.

    Attributes:
        modality_index: (B,) rows of the modality pool, or (1,) for all images.

    Raises:
        ValueError: `affine` is false.
    """

    def __init__(self, num_features: int, *, num_modalities: int, eps: float = 1e-5, affine: bool = True) -> None:
        if not affine:
            msg = "a modality norm has gains and biases, so affine must be true in norm_op_kwargs"
            raise ValueError(msg)
        super().__init__(num_features, eps=eps, affine=True)
        # See FusionPlace: its rows belong to one collection.
        self.seg_layers = nn.ModuleDict({"modalities": ModalityGains(num_modalities, num_features)})
        self.modality_index: torch.Tensor | None = None

    def tell(self, context: ContextBatch) -> None:
        """See ContextualLayer."""
        self.modality_index = context.modality_index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, D, H, W) -> the same shape.

        Raises:
            RuntimeError: no modality was set.
        """
        if self.modality_index is None:
            msg = "set modality_index before running the norm"
            raise RuntimeError(msg)
        gains, biases = cast(ModalityGains, self.seg_layers["modalities"])(self.modality_index.to(x.device))
        gains, biases = (row.expand(x.shape[0], -1).flatten() for row in (self.weight + gains, self.bias + biases))
        # An instance norm is a batch norm of one image whose channels are those of all images; only so can every image
        # have gains of its own without another pass over the feature map.
        normed = functional.batch_norm(
            x.reshape(1, -1, *x.shape[2:]), None, None, gains, biases, training=True, eps=self.eps
        )
        return normed.view(x.shape)


class ModalityGains(nn.Module):
    """What each modality adds to the gain and bias of every channel."""

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(num_modalities, width))
        self.bias = nn.Parameter(torch.zeros(num_modalities, width))

    def forward(self, modality_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """modality_index (B,) -> gains and biases (B, width)."""
        return looked_up(self.gain, modality_index), looked_up(self.bias, modality_index)
