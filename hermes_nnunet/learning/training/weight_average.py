"""The moving average of the weights, which validation and prediction use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

HIGHEST_DECAY = 0.99
ParameterList: TypeAlias = tuple[torch.Tensor, ...] | list[torch.Tensor]


def decay(updates: int, highest: float = HIGHEST_DECAY) -> float:
    """What an update keeps of the average after so many updates: min(1 - 1 / (updates + 1), highest)."""
    return min(1 - 1 / (updates + 1), highest)


class WeightAverage:
    """Average of the parameters of `network` over its optimizer steps, and a copy of its buffers.

    It costs one more copy of the network. `exchange` puts the averaged values into the network's own tensors, so that
    torch.compile and DDP see the module that they know.

    Args:
        highest_decay: see decay().
    """

    def __init__(self, network: nn.Module, highest_decay: float = HIGHEST_DECAY) -> None:
        self._network = network
        self._highest_decay = highest_decay
        self._other = AveragedModel(network, multi_avg_fn=self._move)
        self._other.requires_grad_(False)
        self._is_inside = False

    @property
    def updates(self) -> int:
        """Number of optimizer steps that are in the average."""
        return int(self._other.n_averaged)

    def update(self) -> None:
        """Take in the network's weights; the first time they become the average."""
        self._other.update_parameters(self._network)

    @torch.no_grad()
    def exchange(self) -> None:
        """Put the average into the network and the network's weights aside, or back again."""
        self._is_inside = not self._is_inside
        for inside, aside in zip(self._network.parameters(), self._other.module.parameters(), strict=True):
            kept = inside.clone()
            inside.copy_(aside)
            aside.copy_(kept)

    @contextmanager
    def in_network(self) -> Iterator[None]:
        """The network has the averaged weights within the block, as it may have before and after."""
        if self._is_inside:
            yield
            return
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def state_aside(self) -> dict[str, torch.Tensor]:
        """state_dict of the weights that the network does not have at present."""
        return self._other.module.state_dict()

    def resume(self, training_weights: Mapping[str, Any], updates: int) -> None:
        """Take the network's present weights as the average of so many updates, and give it `training_weights`."""
        self._other.module.load_state_dict(self._network.state_dict())
        self._other.n_averaged.fill_(updates)
        self._network.load_state_dict(training_weights)

    def _move(self, averaged: ParameterList, current: ParameterList, updates: torch.Tensor | int) -> None:
        # `updates` is on the GPU, and to read it there would wait for the GPU.
        get_ema_multi_avg_fn(decay(self.updates, self._highest_decay))(averaged, current, updates)
