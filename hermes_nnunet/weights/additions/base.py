"""The base of an addition: a fold of a universal model, without what additions have brought into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.additions import CHECKPOINT_KEY, modality_rows
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.digests import digest_of_weights
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.pool_rows import Rows, adapter_of, as_adapter_of, rows_of
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder, read_model_folder
from hermes_nnunet.prediction.views.write import CHECKPOINTS
from hermes_nnunet.weights.additions.file import Addition, AdditionHeader


@dataclass(frozen=True)
class ModelFold:
    """The weights of one fold of a universal model, taken apart.

    Attributes:
        model: the model's folder.
        fold: which.
        checkpoint: content of its final checkpoint.
    """

    model: ModelFolder
    fold: str
    checkpoint: Mapping[str, Any]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.model.path}, fold {self.fold}"

    @property
    def plans(self) -> HermesPlans:
        return self.model.hermes_plans

    @cached_property
    def base(self) -> dict[str, torch.Tensor]:
        """Weights of the base, by name."""
        rows = _Rows(self.plans)
        return {
            name: _chosen(tensor, rows_of(name), rows.tasks_of(None), rows.modalities_of(None))
            for name, tensor in self.checkpoint["network_weights"].items()
            if adapter_of(name) is None
        }

    @cached_property
    def base_hash(self) -> str:
        """Hash of the base's weights."""
        return hash_of_weights(self.base)

    @property
    def additions(self) -> list[Addition]:
        """The additions in the model, as their files have them."""
        headers = [AdditionHeader.from_json(text, self.where) for text in self.checkpoint.get(CHECKPOINT_KEY, [])]
        if [header.added for header in headers] != list(self.plans.additions):
            raise HermesError(f"{self.where}: plans and weights name other additions: copy the model's folder again")
        weights = self.checkpoint["network_weights"]
        return [
            Addition(header, rows_of_addition(weights, self.plans, number)) for number, header in enumerate(headers)
        ]


def read_fold(folder: Path, fold: str | int | None = None) -> ModelFold:
    """A finished fold of a universal model; None takes the first.

    Raises:
        HermesError: it is no universal model, or the fold was not trained to its end.
    """
    folds = None if fold is None else [fold]
    if fold is not None and not (folder / f"fold_{fold}" / CHECKPOINTS[0]).is_file():
        raise HermesError(f"{folder} has no {CHECKPOINTS[0]} in fold_{fold}: train the base to its end first")
    model = read_model_folder(folder, folds)
    model.check_plans()
    if model.collection is None:
        raise HermesError(f"{folder} is the model folder of one member: give that of its universal model")
    return fold_of(model, model.folds[0])


def fold_of(model: ModelFolder, fold: str) -> ModelFold:
    """One of a model's folds.

    Raises:
        HermesError: its checkpoint cannot be read.
    """
    path = model.path / f"fold_{fold}" / CHECKPOINTS[0]
    checkpoint = read_checkpoint(path)
    if "network_weights" not in checkpoint:
        raise HermesError(f"{path} is no checkpoint of a training (it has no 'network_weights')")
    return ModelFold(model, fold, checkpoint)


def headers_of_model(folder: Path) -> dict[str, AdditionHeader]:
    """By name, what the additions in a model's first fold say of themselves; none where it has no weights."""
    files = sorted(folder.glob(f"fold_*/{CHECKPOINTS[0]}"))
    texts = read_checkpoint(files[0]).get(CHECKPOINT_KEY, []) if files else []
    headers = [AdditionHeader.from_json(text, str(files[0])) for text in texts]
    return {header.name: header for header in headers}


def rows_of_addition(weights: Mapping[str, torch.Tensor], plans: HermesPlans, number: int) -> dict[str, torch.Tensor]:
    """What belongs to an addition in the weights of a model: its rows of every pool, and its adapters.

    Args:
        weights: of the network, by name; of layers that are registered twice only one name is kept.
        plans: the model's.
        number: of the addition.

    Returns:
        By the names that the tensors have where the addition is the only one.
    """
    rows = _Rows(plans)
    tasks, modalities = rows.tasks_of(number)[:-1], rows.modalities_of(number)[:-1]
    found: dict[str, torch.Tensor] = {}
    for name in unique_names(weights):
        tensor = weights[name]
        if adapter_of(name) == number:
            found[as_adapter_of(name, 0)] = tensor
        elif rows_of(name) is Rows.TASKS:
            found[name] = tensor[tasks]
        elif rows_of(name) is Rows.MODALITIES and modalities:
            found[name] = tensor[modalities]
    return found


def unique_names(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of a state_dict, without second names of layers that dynamic-network-architectures registers twice."""
    return [name for name in weights if ".all_modules." not in name]


def hash_of_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of every tensor, without second names of layers."""
    return digest_of_weights({name: weights[name] for name in unique_names(weights)})


class _Rows:
    """Rows of the pools of a model: of the base (None) or of an addition (its number); the last row of all follows."""

    def __init__(self, plans: HermesPlans) -> None:
        self._plans = plans
        self._modalities = modality_rows(plans.modalities, plans.additions)
        self._owner = {task: number for number, own in enumerate(plans.additions) for task in own.tasks}

    def tasks_of(self, addition: int | None) -> list[int]:
        own = [row for row, task in enumerate(self._plans.tasks) if self._owner.get(task) == addition]
        return [*own, len(self._plans.tasks)]

    def modalities_of(self, addition: int | None) -> list[int]:
        name = None if addition is None else self._plans.additions[addition].member
        own = [row for row, (owner, _) in enumerate(self._modalities[:-1]) if owner == name]
        return [*own, len(self._modalities) - 1]


def _chosen(tensor: torch.Tensor, rows: Rows | None, tasks: list[int], modalities: list[int]) -> torch.Tensor:
    if rows is None:
        return tensor
    chosen = tasks if rows is Rows.TASKS else modalities
    return tensor if len(chosen) == len(tensor) else tensor[chosen]
