"""Parameters that learn at different rates."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

TOKEN_LAYERS = (nn.Linear, nn.LayerNorm)
TOKEN_LAYERS_SHARE = 0.1


def parameter_groups(network: nn.Module, lr: float, share: float = TOKEN_LAYERS_SHARE) -> list[dict[str, Any]]:
    """Two groups for an optimizer of Adam's kind: convolutions and prior tokens at `lr`, token layers at a share of it.

    A step of Adam moves every weight by about the learning rate. After a convolution a norm takes the size of that out;
    after the layers of attention, MLPs and heads nothing does, and their hundreds of inputs add up.
    """
    token_layers = {id(parameter) for parameter in parameters_of_token_layers(network)}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in token_layers]
    slow = [parameter for parameter in network.parameters() if id(parameter) in token_layers]
    return [{"params": rest, "lr": lr}, {"params": slow, "lr": share * lr}]


def adamw(groups: list[dict[str, Any]], weight_decay: float) -> torch.optim.AdamW:
    """AdamW that updates many parameters by one kernel.

    These networks have hundreds of small ones, whose updates one by one take a fifth of a GPU's time of a step.
    """
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)


def parameters_of_token_layers(network: nn.Module) -> Iterator[nn.Parameter]:
    """Weights of attention, MLPs and heads."""
    for module in network.modules():
        if isinstance(module, TOKEN_LAYERS):
            yield from module.parameters(recurse=False)
