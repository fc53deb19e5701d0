"""Where rows of new tasks start: prior tokens with which features tell them best, classifiers fitted to these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.learning.distributed.averaging import from_first_process
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.heads import FIRST_LOGIT, AdaptedClassifierHead, TaskClassifiers
from hermes_nnunet.networks.pool_rows import Rows, rows_of
from hermes_nnunet.networks.turning import turned
from hermes_nnunet.plans import HermesPlans

STEPS_OF_CHOICE = 12
BATCHES_OF_CHOICE = 4
STEPS_OF_START = 40
RIDGE = 1e-4
CROSS_ENTROPY_WEIGHT = 3.0  # as HermesTrainer's
# Voxels of a batch that are fitted: so many of each label value, fewer where there are many, and so many of all others.
OF_VALUE = 4096
OF_ALL_VALUES = 32768
OF_OTHERS = 8192
EPSILON = 1e-6
MOST_CANDIDATES = 12


@dataclass(frozen=True)
class FirstPatches:
    """Patches that first rows are fitted to.

    Attributes:
        images: (B, C, D, H, W).
        targets: label maps (B, 1, d, h, w) at the resolution of each of the network's outputs.
        contexts: of the B cases, or one for all.
    """

    images: torch.Tensor
    targets: Sequence[torch.Tensor]
    contexts: ContextBatch


@dataclass(frozen=True)
class _Voxels:
    """Some voxels of patches at one resolution.

    Attributes:
        features: (N, C).
        offsets: (N, T), logits that the tokens give.
        shown: (N, T), whether it belongs to the task.
        known: (N, T), 1 where the case's context has the task, 0 elsewhere.
        weights: (N,), how many voxels it stands for.
    """

    features: torch.Tensor
    offsets: torch.Tensor
    shown: torch.Tensor
    known: torch.Tensor
    weights: torch.Tensor


class FirstRows:
    """Fits the classifiers of a network's tasks to its features, which stay as they are: seconds of L-BFGS.

    Nothing is done in networks whose heads keep no classifiers, as the paper's (`has_classifiers`), nor without
    patches. Classifiers of tasks that no patch shows stay as they are, too.

    Args:
        network: whose tasks are all new.
        patches: that are fitted; the first of them also tell which prior tokens are best.
        task_values: label values of each task.
        ignore_label: value of voxels that nothing is known of.
        seed: of the voxels that are drawn.

    Attributes:
        network: see above.
    """

    def __init__(
        self,
        network: ContextualNetwork,
        patches: Sequence[FirstPatches],
        task_values: Sequence[Sequence[int]],
        *,
        ignore_label: int | None = None,
        seed: int = 0,
    ) -> None:
        self.network = network
        self._patches = patches
        self._task_values = task_values
        self._ignore_label = ignore_label
        self._seed = seed
        self._heads = _heads_with_classifiers(network) if patches else []

    @staticmethod
    def has_classifiers(network: ContextualNetwork) -> bool:
        """Whether there is anything to fit in a network."""
        return bool(_heads_with_classifiers(network))

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
                (losses[name],) = self._fit(self._heads[:1], self._patches[:BATCHES_OF_CHOICE], STEPS_OF_CHOICE)
        best = min(losses, key=losses.__getitem__, default=next(iter(candidates)))
        self._set_priors(candidates[best])
        return best

    def set_classifiers(self) -> None:
        """Fit the classifiers of every output."""
        if self._heads:
            self._fit(self._heads, self._patches, STEPS_OF_START)

    @torch.no_grad()
    def _set_priors(self, rows: Mapping[str, torch.Tensor]) -> None:
        for name, row in rows.items():
            self.network.get_parameter(name)[:-1] = row

    def _fit(self, heads: Sequence[AdaptedClassifierHead], patches: Sequence[FirstPatches], steps: int) -> list[float]:
        """Set the classifiers of heads, the first of the network's; return the loss of each."""
        random = torch.Generator().manual_seed(self._seed)
        seen = [self._seen(batch, heads, random) for batch in patches]
        return [
            _fit_classifiers(cast(TaskClassifiers, head.seg_layers["classifiers"]), voxels, steps)
            for head, voxels in zip(heads, zip(*seen, strict=True), strict=True)
        ]

    @torch.no_grad()
    def _seen(
        self, patches: FirstPatches, heads: Sequence[AdaptedClassifierHead], random: torch.Generator
    ) -> list[_Voxels]:
        """Voxels of a batch at the resolution of each head."""
        device = next(self.network.parameters()).device
        contexts = patches.contexts.on(device).repeated(len(patches.images))
        self.network.set_context(contexts)
        features, posteriors = self.network.features_and_posteriors(
            turned(patches.images.to(device), contexts.turn), contexts
        )
        tokens = torch.cat(posteriors, dim=-1)[:, : -self.network.tokens_per_modality]
        found = []
        for head, read, target in zip(heads, features, patches.targets, strict=False):
            labels = turned(target, contexts.turn).flatten(1).cpu()
            chosen, weights = self._drawn(labels.flatten(), random)
            cases, places = chosen // labels.shape[1], chosen % labels.shape[1]
            shown = torch.stack([_is_any(labels[cases, places], values) for values in self._task_values], dim=1)
            cases, places = cases.to(device), places.to(device)
            # One row after the tasks, which null rows write to.
            rows = contexts.task_index.remainder(shown.shape[1] + 1)[cases]
            offsets = read.new_zeros(len(chosen), shown.shape[1] + 1)
            known = torch.zeros_like(offsets).scatter_(1, rows, 1.0)
            voxels = read.flatten(2).transpose(1, 2)[cases, places]
            offsets.scatter_(1, rows, (head.classifiers(tokens)[cases] @ voxels[..., None])[..., 0])
            shown, weights = shown.float().to(device), weights.to(device)
            found.append(_Voxels(voxels, offsets[:, :-1], shown, known[:, :-1], weights))
        return found

    def _drawn(self, labels: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Some voxels of each label value and of the others, and how many each of them stands for."""
        of_tasks = sorted({value for values in self._task_values for value in values})
        of_value = min(OF_VALUE, max(1, OF_ALL_VALUES // len(of_tasks)))
        others = ~_is_any(labels, of_tasks)
        if self._ignore_label is not None:
            others &= labels != self._ignore_label
        chosen, weights = [], []
        for own, number in [(others, OF_OTHERS), *((labels == value, of_value) for value in of_tasks)]:
            there = own.nonzero()[:, 0]
            some = there[torch.randperm(len(there), generator=random)[:number]]
            chosen.append(some)
            weights.append(torch.full((len(some),), len(there) / max(1, len(some))))
        return torch.cat(chosen), torch.cat(weights)


def _heads_with_classifiers(network: ContextualNetwork) -> list[AdaptedClassifierHead]:
    return [head for head in network.decoder.heads if isinstance(head, AdaptedClassifierHead)]


def _is_any(labels: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    return torch.isin(labels, torch.tensor(values, dtype=labels.dtype))


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
    found = torch.stack([(one.shown * one.known).any(dim=0) for one in patches]).any(dim=0)
    with torch.no_grad():
        classifiers.weight[:-1][found] = weight.T[found]
        classifiers.bias[:-1][found] = bias[found]
    return float(closure().detach())


def _loss(logits: torch.Tensor, voxels: _Voxels) -> torch.Tensor:
    """HermesTrainer's first loss: cross-entropy, and the logarithm of the Dice of tasks that are there."""
    weights = voxels.weights[:, None] * voxels.known
    entropy = functional.binary_cross_entropy_with_logits(logits, voxels.shown, reduction="none")
    loss = CROSS_ENTROPY_WEIGHT * (weights * entropy).sum(0) / weights.sum(0).clamp(min=EPSILON)
    probability = torch.sigmoid(logits)
    both = (weights * probability * voxels.shown).sum(0)
    sizes = (weights * (probability + voxels.shown)).sum(0)
    dice = (2 * both + EPSILON) / (sizes + EPSILON)
    there = ((weights * voxels.shown).sum(0) > 0).float()
    return (loss - there * torch.log(dice)).mean()


def fit_first_rows(
    first: FirstRows,
    base: Mapping[str, torch.Tensor],
    base_plans: HermesPlans,
    modality: str,
) -> str:
    """Set prior tokens and classifiers of a network's tasks.

    Args:
        first: of the network, after `start_addition`.
        base: weights of the base, without additions.
        base_plans: its plans, without additions.
        modality: of the patches; tasks of the base that know it are tried first.

    Returns:
        Name of the base's task whose prior tokens were taken over, or what else they are.
    """
    unseen = set(base_plans.unseen(modality))
    tasks = sorted(base_plans.tasks, key=lambda task: task in unseen)[:MOST_CANDIDATES]
    rows = {task: base_plans.tasks.index(task) for task in tasks}
    chosen = first.choose_priors(candidates_of(base, rows, pools_of(first.network)))
    first.set_classifiers()
    return chosen


@torch.no_grad()
def take_from_first_process(network: nn.Module) -> None:
    """Give the tasks of a network the rows that they have in the first process; all of them call this together."""
    rows = {
        name: parameter.detach().cpu() for name, parameter in network.named_parameters() if rows_of(name) is Rows.TASKS
    }
    for name, values in from_first_process(rows).items():
        network.get_parameter(name).copy_(values)


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
