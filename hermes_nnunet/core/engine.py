"""Where the cases of a command are worked on: in processes of this machine, or on a cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.processes import map_cases
from hermes_nnunet.core.shortages import FEWER_PROCESSES

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """What works on many cases at a time."""

    def map(
        self,
        function: Callable[[Item], Result],
        cases: Mapping[str, Item],
        description: str,
        folders: Folders,
        *,
        bundle: int = 1,
    ) -> list[Result]:
        """`function` of every case, in their order, with a progress bar; both must be such that they can be pickled.

        Args:
            cases: what `function` is given, by the names that people know.
            description: of the work, for the progress bar.
            folders: that the cases lie in.
            bundle: cases that go to a worker of a cluster together, for work that is done as fast as it is told of.

        Raises:
            HermesError: cases could not be finished, since processes died.
        """
        ...


@dataclass(frozen=True)
class Pool:
    """So many processes of this machine.

    Attributes:
        when_one_died: what the user should do then.
    """

    processes: int
    when_one_died: str = FEWER_PROCESSES

    def map(
        self,
        function: Callable[[Item], Result],
        cases: Mapping[str, Item],
        description: str,
        folders: Folders,
        *,
        bundle: int = 1,
    ) -> list[Result]:
        """As `Engine.map`; here all folders are seen."""
        return map_cases(function, list(cases.values()), self.processes, description, when_one_died=self.when_one_died)
