"""Learning rates of a network that starts from a trained one: slow where that knows, full where it is new."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hermes_nnunet.learning.training.parameter_groups import TOKEN_LAYERS_SHARE, parameters_of_token_layers
from hermes_nnunet.networks.pool_rows import rows_of

_LEVELS = 10


def transfer_groups(
    network: nn.Module, lr: float, *, share: float, share_of_first_layer: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer of Adam's kind.

    Pools and classifiers learn at `lr`. All else learns at a share of it that grows with the layer's place, by equal
    factors from `share` times `share_of_first_layer` at the image to `share` at the last layer; token layers at a tenth
    of that, see `parameter_groups`.
    """
    token_layers = {id(parameter) for parameter in parameters_of_token_layers(network)}
    shared = [(name, parameter) for name, parameter in network.named_parameters() if rows_of(name) is None]
    of_rate = defaultdict(list)
    for place, (_, parameter) in enumerate(shared):
        # In steps, for an optimizer computes its groups one after another.
        depth = round(_LEVELS * place / max(1, len(shared) - 1)) / _LEVELS
        rate = lr * share * share_of_first_layer ** (1 - depth)
        of_rate[rate * (TOKEN_LAYERS_SHARE if id(parameter) in token_layers else 1)].append(parameter)
    rows = [parameter for name, parameter in network.named_parameters() if rows_of(name) is not None]
    return [{"params": rows, "lr": lr}, *({"params": own, "lr": rate} for rate, own in of_rate.items())]


class SlowRows:
    """Lets some rows of weights move a share of what an optimizer's step moves them: another rate within a weight.

    Args:
        network: whose weights the optimizer has.
        rows: name of a weight -> its slow rows.
        share: of the step.
    """

    def __init__(self, network: nn.Module, rows: Mapping[str, Sequence[int]], share: float) -> None:
        parameters = dict(network.named_parameters())
        # Layers of nnU-Net have a second name, under which they are not listed.
        self._slow = [(parameters[name], list(own)) for name, own in rows.items() if own and name in parameters]
        self._share = share
        self._before: list[torch.Tensor] = []

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Act in every step of the optimizer."""
        optimizer.register_step_pre_hook(lambda *_: self._remember())
        optimizer.register_step_post_hook(lambda *_: self._slow_down())

    @torch.no_grad()
    def _remember(self) -> None:
        self._before = [parameter[rows] for parameter, rows in self._slow]

    @torch.no_grad()
    def _slow_down(self) -> None:
        for (parameter, rows), before in zip(self._slow, self._before, strict=True):
            parameter[rows] = before.lerp(parameter[rows], self._share)
