"""Means over the whole batch, of which each process may hold a part only."""

from collections.abc import Iterable

import torch
from torch import distributed


def number_of_processes() -> int:
    """Processes that train together; 1 where there is no process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def batch_means(terms: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
    """Means that DistributedDataParallel's averaging turns into means over the whole batch; 0 where nothing counts.

    It gives every process the same weight, whether two terms counted there or twenty. So each process divides its sum
    by (count of all processes / number of processes): averaged, that is sum of all / count of all. All processes have
    to call this together.

    Args:
        terms: pairs of values and, in the same shape, whether each of them counts.

    Returns:
        A scalar for each pair.
    """
    terms = list(terms)
    counts = torch.stack([counting.sum() for _, counting in terms])
    processes = number_of_processes()
    if processes > 1:
        distributed.all_reduce(counts)
    divisors = counts.clamp(min=1) / processes
    return [(values * counting).sum() / divisor for (values, counting), divisor in zip(terms, divisors, strict=True)]
