"""The prior pools in a checkpoint, without building the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hermes_nnunet.errors import HermesError, UsageError

_TASKS, _MODALITIES = ".priors.tasks", ".priors.modalities"


@dataclass(frozen=True)
class PriorPool:
    """The pools of one place of the network.

    Attributes:
        place: name of the place.
        tasks: (tasks, C), without the null row.
        modalities: (modalities, tokens, C).
    """

    place: str
    tasks: np.ndarray
    modalities: np.ndarray


def read_pools(weights: Mapping[str, Any], num_tasks: int, num_modalities: int) -> list[PriorPool]:
    """The pools of a checkpoint's network_weights, in the order of the network.

    Raises:
        HermesError: there are none, or they are of other numbers of tasks or modalities.
    """
    pools = []
    for name, tensor in weights.items():
        if not name.endswith(_TASKS):
            continue
        prefix = name.removesuffix(_TASKS)
        place = prefix.removesuffix(".seg_layers")
        tasks = np.asarray(tensor, dtype=np.float64)
        modalities = np.asarray(weights[prefix + _MODALITIES], dtype=np.float64)
        if (len(tasks), len(modalities)) != (num_tasks + 1, num_modalities):
            raise HermesError(
                f"the checkpoint has {len(tasks) - 1} tasks and {len(modalities)} modalities in {place}, the plans "
                f"have {num_tasks} and {num_modalities}: give a model's folder whose files belong together"
            )
        pools.append(PriorPool(place, tasks[:-1], modalities))
    if not pools:
        raise HermesError("the checkpoint has no prior pools: give a model that was trained with a Hermes network")
    return pools


def choose_places(pools: Sequence[PriorPool], level: str) -> list[PriorPool]:
    """All pools for 'all', else the one with this number, counted from 0.

    Raises:
        UsageError: there is no such place.
    """
    if level == "all":
        return list(pools)
    if level.isdecimal() and int(level) < len(pools):
        return [pools[int(level)]]
    places = ", ".join(f"{number} ({pool.place})" for number, pool in enumerate(pools))
    raise UsageError(f"--level {level} is not a place of this network: give 'all' or one of {places}")
