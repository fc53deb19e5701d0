"""Means over the whole batch, of which each process may hold a part only."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import distributed


def number_of_processes() -> int:
    """Processes that train together; 1 where there is no process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def largest_of_processes(number: int, device: torch.device) -> int:
    """The largest of the numbers that the processes have; all of them have to call this together."""
    if number_of_processes() == 1:
        return number
    largest = torch.tensor(number, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def from_first_process(value: Any) -> Any:
    """What the first process has; all of them have to call this together."""
    if number_of_processes() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def of_all_processes(value: Any) -> list[Any]:
    """What each process has, by rank; all of them have to call this together."""
    if number_of_processes() == 1:
        return [value]
    values: list[Any] = [None] * number_of_processes()
    distributed.all_gather_object(values, value)
    return values


def group_means(terms: Iterable[tuple[torch.Tensor, torch.Tensor]], cases: int) -> list[torch.Tensor]:
    """Means over each group of so many cases, and of these over all groups of all processes; 0 for an empty group.

    With as many cases as a process has, it is what DistributedDataParallel makes of means that each process computes by
    itself: a pair of values weighs more where its process has fewer of them. All processes have to call this together.

    Args:
        terms: as for `batch_means`, the cases along the first axis; neighbours make a group, the last may be smaller.

    Returns:
        A scalar for each pair.
    """
    terms = list(terms)
    values, _ = terms[0]
    groups = torch.tensor(-(-len(values) // cases), device=values.device)
    processes = number_of_processes()
    if processes > 1:
        distributed.all_reduce(groups)
    return [
        sum(
            ((own * counting).sum() / counting.sum().clamp(min=1))
            for own, counting in zip(values.split(cases), counting.split(cases), strict=True)
        )
        * (processes / groups)
        for values, counting in terms
    ]


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
