"""Where rows of taught tasks start: prior tokens with which features tell them best, classifiers fitted to these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.heads import FIRST_LOGIT, AdaptedClassifierHead, TaskClassifiers
from hermes_nnunet.networks.turning import turned
from hermes_nnunet.weights.teaching.cases import Batch

STEPS_OF_CHOICE = 12
BATCHES_OF_CHOICE = 4
STEPS_OF_START = 40
RIDGE = 1e-4
CROSS_ENTROPY_WEIGHT = 3.0  # as HermesTrainer's
# Voxels of a patch that are fitted: so many of each task, and so many of all others.
OF_TASK = 4096
OF_OTHERS = 8192
EPSILON = 1e-6


@dataclass(frozen=True)
class _Voxels:
    """Some voxels of patches at one resolution.

    Attributes:
        features: (N, C).
        offsets: (N, T), logits that the tokens give.
        shown: (N, T), whether it belongs to the task.
        weights: (N,), how many voxels it stands for.
    """

    features: torch.Tensor
    offsets: torch.Tensor
    shown: torch.Tensor
    weights: torch.Tensor


class FirstRows:
    """Fits the classifiers of a network's tasks to its features, which stay as they are: seconds of L-BFGS.

    Nothing is done in networks whose heads keep no classifiers, as the paper's.

    Args:
        network: whose tasks are all taught.
        context: with these tasks.
        batches: patches that are fitted; the first of them also tell which prior tokens are best.
        seed: of the voxels that are drawn.
    """

    def __init__(
        self, network: ContextualNetwork, context: ContextBatch, batches: Sequence[Batch], seed: int = 0
    ) -> None:
        self._network = network
        self._context = context
        self._batches = batches
        self._seed = seed
        self._heads = [head for head in network.decoder.heads if isinstance(head, AdaptedClassifierHead)]

    def choose_priors(self, candidates: Mapping[str, Mapping[str, torch.Tensor]]) -> str:
        """Set the prior tokens of all tasks to those with which the features tell the tasks best.

        Args:
            candidates: name -> by the name of each pool's weight a row (C,).

        Returns:
            Name of the candidate.
        """
        losses = {}
        if self._heads:
            for name, rows in candidates.items():
                self._set_priors(rows)
                (losses[name],) = self._fit(self._heads[:1], self._batches[:BATCHES_OF_CHOICE], STEPS_OF_CHOICE)
        best = min(losses, key=losses.__getitem__, default=next(iter(candidates)))
        self._set_priors(candidates[best])
        return best

    def set_classifiers(self) -> None:
        """Fit the classifiers of every output."""
        self._fit(self._heads, self._batches, STEPS_OF_START)

    @torch.no_grad()
    def _set_priors(self, rows: Mapping[str, torch.Tensor]) -> None:
        for name, row in rows.items():
            self._network.get_parameter(name)[:-1] = row

    def _fit(self, heads: Sequence[AdaptedClassifierHead], batches: Sequence[Batch], steps: int) -> list[float]:
        """Set the classifiers of heads, the first of the network's; return the loss of each."""
        random = torch.Generator().manual_seed(self._seed)
        seen = [self._seen(batch, heads, random) for batch in batches]
        return [
            _fit_classifiers(cast(TaskClassifiers, head.seg_layers["classifiers"]), patches, steps)
            for head, patches in zip(heads, zip(*seen, strict=True), strict=True)
        ]

    @torch.no_grad()
    def _seen(self, batch: Batch, heads: Sequence[AdaptedClassifierHead], random: torch.Generator) -> list[_Voxels]:
        """Voxels of a batch at the resolution of each head."""
        device = next(self._network.parameters()).device
        context = self._context.on(device).repeated(len(batch.images))
        self._network.set_context(context)
        features, posteriors = self._network.features_and_posteriors(
            turned(batch.images.to(device), context.turn), context
        )
        tokens = torch.cat(posteriors, dim=-1)[:, : -self._network.tokens_per_modality]
        # A null row may follow the tasks.
        tasks = int(context.real_rows[0].sum())
        targets = batch.targets(self._network.supervision_scales)
        found = []
        for head, read, target in zip(heads, features, targets, strict=False):
            offsets = torch.bmm(head.classifiers(tokens), read.flatten(2))[:, :tasks].unflatten(2, read.shape[2:])
            flat = turned(target, context.turn).flatten()
            chosen, weights = _drawn(flat, tasks, random)
            shown = flat[chosen, None] == torch.arange(1, tasks + 1)
            voxels, logits = (
                maps.flatten(2).transpose(1, 2).flatten(0, 1)[chosen.to(device)] for maps in (read, offsets)
            )
            found.append(_Voxels(voxels, logits, shown.float().to(device), weights.to(device)))
        return found


def _fit_classifiers(classifiers: TaskClassifiers, patches: Sequence[_Voxels], steps: int) -> float:
    tasks, width = patches[0].shown.shape[1], patches[0].features.shape[1]
    weight = torch.zeros(width, tasks, device=patches[0].features.device, requires_grad=True)
    bias = torch.full((tasks,), FIRST_LOGIT, device=weight.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = [_loss(one.features @ weight + bias + one.offsets, one) for one in patches]
        loss = torch.stack(losses).mean() + RIDGE * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        classifiers.weight[:-1] = weight.T
        classifiers.bias[:-1] = bias
    return float(closure().detach())


def _drawn(labels: torch.Tensor, tasks: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Some voxels of each task and of the others, and how many each of them stands for."""
    chosen, weights = [], []
    for value in range(tasks + 1):
        own = (labels == value).nonzero()[:, 0]
        some = own[torch.randperm(len(own), generator=random)[: OF_TASK if value else OF_OTHERS]]
        chosen.append(some)
        weights.append(torch.full((len(some),), len(own) / max(1, len(some))))
    return torch.cat(chosen), torch.cat(weights)


def _loss(logits: torch.Tensor, voxels: _Voxels) -> torch.Tensor:
    """HermesTrainer's first loss: cross-entropy, and the logarithm of the Dice of tasks that are there."""
    weights = voxels.weights[:, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, voxels.shown, reduction="none")
    loss = CROSS_ENTROPY_WEIGHT * (weights * entropy).sum(0) / weights.sum()
    probability = torch.sigmoid(logits)
    both = (weights * probability * voxels.shown).sum(0)
    sizes = (weights * (probability + voxels.shown)).sum(0)
    dice = (2 * both + EPSILON) / (sizes + EPSILON)
    there = (voxels.shown.sum(0) > 0).float()
    return (loss - there * torch.log(dice)).mean()


def candidates_of(
    base: Mapping[str, torch.Tensor], tasks: Mapping[str, int], pools: Sequence[str]
) -> dict[str, dict[str, torch.Tensor]]:
    """Prior tokens to choose from: the mean of the base's, and those of each of some tasks.

    Args:
        base: its weights.
        tasks: name -> row in the base's pools.
        pools: names of the pools' weights.
    """
    mean = {name: base[name][:-1].mean(dim=0) for name in pools}
    return {"the mean of all tasks": mean} | {
        task: {name: base[name][row] for name in pools} for task, row in tasks.items()
    }


def pools_of(network: nn.Module) -> list[str]:
    """Names of the weights with the prior tokens of tasks."""
    return [name for name, _ in network.named_parameters() if name.endswith("priors.tasks")]
