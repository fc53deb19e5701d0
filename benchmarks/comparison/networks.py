"""The network of the masked merge, and HermesUNet with one thing changed."""

import sys
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import nn

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ABSENT_LOGIT, ContextualNetwork
from hermes_nnunet.networks.heads import FIRST_LOGIT
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.networks.output import HermesOutput


class MaskedUNet(ContextualNetwork):
    """nnU-Net's residual encoder U-Net with a channel a task; the context only selects the channels of the loss.

    This is the multi-head way of learning from partial labels: what a case's member does not label takes no part.
    """

    def __init__(
        self,
        input_channels: int,
        *,
        num_modalities: int,
        rows_per_case: int,
        tokens_per_modality: int,
        encoder_type: str,
        modality_norms: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(tokens_per_modality=0)
        self.network = ResidualEncoderUNet(input_channels, **arguments)
        self.num_modalities = num_modalities

    @property
    def decoder(self) -> nn.Module:
        return self.network.decoder

    @property
    def supervision_scales(self) -> list[list[float]]:
        return [[0.5**output] * 3 for output in range(len(self.decoder.seg_layers) - 1)]

    @property
    def supervision_weights(self) -> list[float]:
        outputs = len(self.supervision_scales)
        return [0.5**output / (2 - 0.5 ** (outputs - 1)) for output in range(outputs)]

    def features_and_posteriors(self, x: torch.Tensor, context: ContextBatch) -> Any:
        raise NotImplementedError("a network without priors has no posterior tokens")

    def forward(self, x: torch.Tensor) -> HermesOutput | torch.Tensor:
        """See ContextualNetwork."""
        assert self.context is not None
        context = self.context.on(x.device).repeated(x.shape[0])
        outputs = self.network(x)
        if not (self.training or self.decoder.deep_supervision):
            task_index, shown = context.in_channels(context.task_index[..., None])
            return _channels(outputs, task_index[..., 0]).masked_fill(~shown[:, :, None, None, None], ABSENT_LOGIT)
        outputs = outputs if self.decoder.deep_supervision else [outputs]
        logits = [_channels(output, context.task_index) for output in outputs[: len(self.supervision_scales)]]
        return HermesOutput(logits, x.new_zeros(len(x), self.num_modalities), context)

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """As HermesUNet, the first logits too."""
        HermesUNet.initialize(module)
        if isinstance(module, MaskedUNet):
            for layer in module.decoder.seg_layers:
                nn.init.constant_(layer.bias, FIRST_LOGIT)


class FusedAtBottleneckUNet(HermesUNet):
    """HermesUNet with one fusion place."""

    fusion_stride = sys.maxsize


class FusedFromStride2UNet(HermesUNet):
    """HermesUNet with two fusion places more, where the features are half as fine as the image."""

    fusion_stride = 2


class HeadsWithoutNormUNet(HermesUNet):
    """HermesUNet whose heads take the posterior tokens as they are."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for head in self.decoder.heads:
            head.norm = nn.Identity()


def _channels(logits: torch.Tensor, task_index: torch.Tensor) -> torch.Tensor:
    """The channel (B, R, D, H, W) of each row; padded rows show the last task's, which the loss leaves out."""
    cases = torch.arange(len(logits), device=logits.device)[:, None]
    return logits[cases, task_index]
