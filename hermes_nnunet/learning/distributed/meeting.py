"""Processes that meet before they compute together, so that a problem of one is told by all."""

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from torch.distributed import Store

MEETING_TIMEOUT = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    """This process's place among those that torchrun started: on all machines, and on its own.

    Attributes:
        rank: its number on all machines.
        processes: how many there are on all machines.
        local_rank: its number on its own machine, which is the number of its GPU.
    """

    rank: int
    processes: int
    local_rank: int

    @classmethod
    def from_environment(cls) -> "Place":
        """As torchrun says; the only process where it was not used."""
        variables = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
        return cls(*(int(os.environ.get(name, default)) for name, default in variables.items()))


class Meeting:
    """Exchange of values between all processes through torchrun's store: needs no GPU and no process group."""

    def __init__(self, store: "Store", place: Place) -> None:
        self._store = store
        self._place = place

    def exchange(self, topic: str, value: Any) -> list[Any]:
        """The values (JSON) that the processes gave for a topic, by rank; each topic once.

        Raises:
            HermesError: a process did not answer in time.
        """
        from torch.distributed import DistError

        ranks = range(self._place.processes)
        try:
            self._store.set(f"{topic}/{self._place.rank}", json.dumps(value))
            values = [json.loads(self._store.get(f"{topic}/{rank}")) for rank in ranks]
            self._store.set(f"{topic}/read/{self._place.rank}", "")
            if self._place.rank == 0:  # the store ends with this process's machine
                self._store.wait([f"{topic}/read/{rank}" for rank in ranks])
        except DistError as error:
            raise HermesError(
                f"not all of the {self._place.processes} processes answered ({error}): look for the error on the other "
                f"machines and start all of them again"
            ) from None
        return values
