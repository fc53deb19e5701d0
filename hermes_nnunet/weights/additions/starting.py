"""The network of a collection that has one member, as an addition to a base: what is frozen, and what learns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from hermes_nnunet.additions import modality_rows
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.parameter_groups import adamw
from hermes_nnunet.networks.adapters import AdaptedLinear, LowRank
from hermes_nnunet.networks.pool_rows import Rows, adapter_of, rows_of
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.additions.file import rounded


@dataclass(frozen=True)
class FrozenRows:
    """Rows that do not learn, of weights that have others that do.

    Attributes:
        kept: by the weight's name its frozen rows, and their values.
    """

    network: nn.Module
    kept: Mapping[str, tuple[list[int], torch.Tensor]] = field(repr=False)

    @torch.no_grad()
    def restore(self) -> None:
        """Undo what a step of an optimizer has done to them."""
        for name, (rows, values) in self.kept.items():
            self.network.get_parameter(name)[rows] = values.to(self.network.get_parameter(name).device)


def start_addition(
    network: nn.Module, plans: HermesPlans, base: Mapping[str, torch.Tensor], base_plans: HermesPlans
) -> FrozenRows:
    """Take the base's weights over and freeze them; only rows of the pools that are new, and the adapters, learn.

    Rows of tasks and of new modalities start as the mean of the base's, so that the network reads them as it reads
    those that it knows; classifiers start as HermesUNet starts them.

    Args:
        network: of a collection whose tasks are all new, with one adapter.
        plans: the collection's.
        base: weights of the base, without additions.
        base_plans: its plans, without additions.

    Raises:
        HermesError: the base is of another network.
    """
    kept: dict[str, tuple[list[int], torch.Tensor]] = {}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if adapter_of(name) is not None:
                continue
            kind = rows_of(name)
            weight = base.get(name)
            if weight is None or weight.shape[1 if kind else 0 :] != parameter.shape[1 if kind else 0 :]:
                raise HermesError(
                    f"the base is of another network than the plans say: {name} is "
                    f"{'missing' if weight is None else tuple(weight.shape)}, {tuple(parameter.shape)} in the plans; "
                    "run 'hermes_nnunet extend' again"
                )
            if kind is None:
                parameter.copy_(weight)
                parameter.requires_grad_(False)
                continue
            frozen = _take_rows(parameter, weight, kind, name, plans, base_plans)
            if len(frozen) == len(parameter):
                parameter.requires_grad_(False)
            else:
                kept[name] = frozen, parameter[frozen].clone()
    return FrozenRows(network, kept)


def _take_rows(
    parameter: torch.Tensor, weight: torch.Tensor, kind: Rows, name: str, plans: HermesPlans, base_plans: HermesPlans
) -> list[int]:
    """Set the rows of a weight; return those that are the base's."""
    last = len(parameter) - 1
    parameter[last] = weight[-1]
    if kind is Rows.TASKS:
        if name.endswith("priors.tasks"):
            parameter[:last] = weight[:-1].mean(dim=0)
        return [last]
    known = {word: row for row, (_, word) in enumerate(modality_rows(base_plans.modalities, ()))}
    frozen = [last]
    for row, (owner, word) in enumerate(modality_rows(plans.modalities, plans.additions)[:-1]):
        if owner is None:
            parameter[row] = weight[known[word]]
            frozen.append(row)
        else:
            # "unknown" alone where the base has no other.
            parameter[row] = (weight[:-1] if len(weight) > 1 else weight).mean(dim=0)
    return frozen


def optimizer_of_addition(network: nn.Module, rate: float, linear_share: float, decay: float) -> torch.optim.AdamW:
    """AdamW of what learns.

    Args:
        network: after `start_addition`.
        rate: learning rate of rows and of adapters of convolutions.
        linear_share: share of it for adapters of linear layers.
        decay: weight decay of adapters, towards the base.
    """
    rows, convolutions, linear = learning_parameters(network)
    groups = [
        {"params": rows, "lr": rate, "weight_decay": 0.0},
        {"params": convolutions, "lr": rate},
        {"params": linear, "lr": linear_share * rate},
    ]
    return adamw(groups, decay)


def learning_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """What learns: rows of pools, adapters of convolutions, adapters of linear layers."""
    linear = {
        id(parameter)
        for layer in network.modules()
        if isinstance(layer, AdaptedLinear)
        for adapter in layer.modules()
        if isinstance(adapter, LowRank)
        for parameter in adapter.parameters()
    }
    groups: tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]] = ([], [], [])
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[0 if adapter_of(name) is None else 2 if id(parameter) in linear else 1].append(parameter)
    return groups


def changed_weight(
    weights: Mapping[str, torch.Tensor], plans: HermesPlans, base: Mapping[str, torch.Tensor], base_plans: HermesPlans
) -> str | None:
    """Name of a weight of which a network has not the base's values, bit by bit; None where it has all of them."""
    known = {word: row for row, (_, word) in enumerate(modality_rows(base_plans.modalities, ()))}
    for name, weight in weights.items():
        if adapter_of(name) is not None:
            continue
        kind, own, of_base = rows_of(name), weight.cpu(), base[name]
        if kind is not None:
            owned = modality_rows(plans.modalities, plans.additions) if kind is Rows.MODALITIES else []
            shared: Sequence[tuple[int, int]] = [
                (row, known[word]) for row, (owner, word) in enumerate(owned) if owner is None
            ] or [(-1, -1)]
            own, of_base = own[[row for row, _ in shared]], of_base[[row for _, row in shared]]
        if not torch.equal(own, of_base):
            return name
    return None


def check_unchanged(
    weights: Mapping[str, torch.Tensor], plans: HermesPlans, base: Mapping[str, torch.Tensor], base_plans: HermesPlans
) -> None:
    """See that a trained network has the base's weights.

    Raises:
        RuntimeError: it has not, so that what was trained is no addition.
    """
    changed = changed_weight(weights, plans, base, base_plans)
    if changed is not None:
        msg = f"{changed} of the base has changed while an addition was trained"
        raise RuntimeError(msg)


@torch.no_grad()
def round_adapters(network: nn.Module) -> None:
    """Give adapters the values that they have after they were stored in a file."""
    for name, parameter in network.named_parameters():
        if adapter_of(name) is not None:
            parameter.copy_(rounded(parameter))
