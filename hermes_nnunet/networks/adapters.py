"""Low-rank adapters: what an addition changes in the layers of its base, in its own contexts only."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.networks.attention import FusionBlock
from hermes_nnunet.networks.bidirectional_attention import BidirectionalAttentionBlock
from hermes_nnunet.networks.context_batch import ContextBatch, ContextualLayer


class LowRank(nn.Module):
    """A change of a weight: up (rows, rank) times down (rank, columns), nothing at first (Hu et al., LoRA, 2021)."""

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.down = nn.Parameter(weight.new_empty(rank, weight[0].numel()))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight."""
        # In the precision of the weights: autocast would round the change before it is added.
        with torch.autocast(weight.device.type, enabled=False):
            return weight + (self.up @ self.down).view_as(weight)


class AdaptedLayer(ContextualLayer, nn.Module):
    """A layer with an adapter for each addition.

    Where none acts, the layer computes with its own weight, so that its result is the same bit for bit.

    Attributes:
        active: number of the addition whose adapter acts; None in contexts of the base.
    """

    weight: torch.Tensor
    active: int | None

    def add_adapters(self, ranks: Sequence[int]) -> None:
        """Give the layer an adapter of each rank; none of them acts before `tell`."""
        adapters = nn.ModuleList(LowRank(self.weight, rank) for rank in ranks)
        # See FusionPlace: they belong to one collection.
        self.seg_layers = nn.ModuleDict({"adapters": adapters})
        self.active = None

    def tell(self, context: ContextBatch) -> None:
        """See ContextualLayer."""
        self.active = context.addition

    @property
    def present_weight(self) -> torch.Tensor:
        """The weight in the context that was told."""
        if self.active is None:
            return self.weight
        return cast(nn.ModuleList, self.seg_layers["adapters"])[self.active](self.weight)


class AdaptedConv3d(AdaptedLayer, nn.Conv3d):
    """A convolution with adapters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See nn.Conv3d."""
        return self._conv_forward(x, self.present_weight, self.bias)


class AdaptedConvTranspose3d(AdaptedLayer, nn.ConvTranspose3d):
    """A transposed convolution with adapters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See nn.ConvTranspose3d."""
        return functional.conv_transpose3d(
            x,
            self.present_weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class AdaptedLinear(AdaptedLayer, nn.Linear):
    """A linear layer with adapters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See nn.Linear."""
        return functional.linear(x, self.present_weight, self.bias)


_ADAPTED: dict[type, type] = {
    nn.Conv3d: AdaptedConv3d,
    nn.ConvTranspose3d: AdaptedConvTranspose3d,
    nn.Linear: AdaptedLinear,
}


def add_adapters(network: nn.Module, ranks: Sequence[int]) -> None:
    """Give every convolution, and the linear layers of fusion blocks, an adapter of each rank.

    The layers stay the objects that they are (as under torch.nn.utils.parametrize), since some are registered in two
    places; and their weights keep their names, so that a base's checkpoint fits.
    """
    if not ranks:
        return
    for layer in list(_adaptable(network)):
        layer.__class__ = _ADAPTED[type(layer)]
        cast(AdaptedLayer, layer).add_adapters(ranks)


def _adaptable(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if type(module) in (nn.Conv3d, nn.ConvTranspose3d):
            yield module
        elif isinstance(module, FusionBlock | BidirectionalAttentionBlock):
            yield from (layer for layer in module.modules() if type(layer) is nn.Linear)
