"""Weights of one collection's network for that of another: rows of tasks and modalities by name, all else as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from hermes_nnunet.additions import modality_rows
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.pool_rows import Rows, adapter_of, rows_of
from hermes_nnunet.plans import HermesPlans

_NULL_ROW = None


@dataclass(frozen=True)
class TakenOver:
    """A network's weights, some of which another network had.

    Attributes:
        weights: of the whole network.
        tasks, modalities: known to both, so that their rows were taken over.
        rows: name of a weight with rows -> which of them were taken over; of all other weights everything was.
    """

    weights: dict[str, torch.Tensor]
    tasks: tuple[str, ...]
    modalities: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]


def take_over(
    old: Mapping[str, torch.Tensor],
    old_plans: HermesPlans,
    new: Mapping[str, torch.Tensor],
    new_plans: HermesPlans,
    where: str,
) -> TakenOver:
    """Weights for a network with the weights `new`, from those of another collection's.

    Rows of tasks and modalities that only the new one has, and adapters, stay as they are in `new`.

    Args:
        old: weights of a network without additions.
        where: names the old weights in the message.

    Raises:
        HermesError: it is another network.
    """
    weights = dict(new)
    rows_taken = {}
    of_tasks = _pairs((*old_plans.tasks, _NULL_ROW), (*new_plans.tasks, _NULL_ROW))
    names = [name for _, name in modality_rows(new_plans.modalities, new_plans.additions)]
    of_modalities = _pairs(old_plans.modalities, names)
    for name, present in new.items():
        if adapter_of(name) is not None:
            continue
        found = old.get(name)
        kind = rows_of(name)
        start = 0 if kind is None else 1  # the first axis of a pool is as long as it is
        if found is None or found.shape[start:] != present.shape[start:]:
            there = "is not there" if found is None else f"has shape {tuple(found.shape)}"
            raise HermesError(
                f"{where} is of another network: {name} {there}, the plans say {tuple(present.shape)}: plan this "
                "collection with the planner and the spacing of that model, or start without it"
            )
        if kind is None:
            weights[name] = found
            continue
        pairs = of_tasks if kind is Rows.TASKS else of_modalities
        here = [row for _, row in pairs]
        weights[name] = present.clone()
        weights[name][here] = found[[row for row, _ in pairs]].to(present)
        rows_taken[name] = tuple(here)
    return TakenOver(
        weights,
        tuple(task for task in new_plans.tasks if task in old_plans.tasks),
        tuple(modality for modality in new_plans.modalities if modality in old_plans.modalities),
        rows_taken,
    )


def in_words(taken: TakenOver, plans: HermesPlans) -> str:
    """Which tasks and modalities were taken over, and which are new."""
    new_tasks = [task for task in plans.tasks if task not in taken.tasks]
    new_modalities = [modality for modality in plans.modalities if modality not in taken.modalities]
    return (
        f"taken over by name: {listed(taken.tasks) or 'no task'}; {listed(taken.modalities)}; "
        f"new: {listed(new_tasks) or 'no task'}; {listed(new_modalities) or 'no modality'}"
    )


def _pairs(old: Sequence[str | None], new: Sequence[str | None]) -> list[tuple[int, int]]:
    """(row in the old pool, row in the new one) of every name that both have."""
    row_of = {name: row for row, name in enumerate(old)}
    return [(row_of[name], row) for row, name in enumerate(new) if name in row_of]
