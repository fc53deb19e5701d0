"""Working on cases with the workers of a dask scheduler."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from tqdm import tqdm

from hermes_nnunet.core.cluster.admission import (
    COMPARED,
    Folders,
    Requirements,
    asking_for_versions,
    problem_here,
    requirements,
    version_problem,
)
from hermes_nnunet.core.cluster.assignment import MOST_DEATHS, Assignment
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import escaped

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often we ask which workers are there, and after how long without any we say so.
_LOOK_S = 0.5
_LONELY_S = 20.0
# Workers that were there first are all looked at before the first case, but nobody waits longer for a busy one.
_FIRST_ANSWERS_S = 60.0
# The result of a worker that died right after it may never come.
_RESULT_S = 10.0
# Two errors in Python 3.10.
_TIMED_OUT = (TimeoutError, asyncio.TimeoutError)


def _nothing() -> None:
    pass


class WorkerUnfitError(HermesError):
    """On a worker: it can work on no case any more, and the one that it has is for another."""


@dataclass(frozen=True)
class Connection:
    """A client of a scheduler, and what asks for workers in place of those that ended, which is called now and then."""

    client: "Client"
    keep_up: Callable[[], None] = _nothing


class Cluster:
    """A scheduler's workers, each of which has one case at a time, or a few.

    Args:
        connect: called with the number of the first cases, when there are some.
    """

    def __init__(self, connect: Callable[[int], Connection]) -> None:
        self._connect = connect
        self._connected: Connection | None = None

    def map(
        self,
        function: Callable[[Item], Result],
        cases: Mapping[str, Item],
        description: str,
        folders: Folders,
        *,
        bundle: int = 1,
    ) -> list[Result]:
        """As `Engine.map`; a case on which workers die is left out, and told when the others are finished."""
        results: dict[str, Result] = {}
        given_up = self.run(function, cases, description, results.__setitem__, folders, bundle=bundle)
        if given_up:
            lines = [f"{case}: {reason}" for case, reason in given_up.items()]
            raise HermesError(
                "\n  ".join([f"{len(given_up)} of {len(cases)} cases are not done, the others are kept:", *lines])
            )
        return [results[case] for case in cases]

    def run(
        self,
        function: Callable[[Item], Result],
        cases: Mapping[str, Item],
        description: str,
        take: Callable[[str, Result], None],
        folders: Folders,
        *,
        slots: int = 1,
        bundle: int = 1,
        coming: int = 0,
    ) -> dict[str, str]:
        """Call `function` with every case on some worker, and `take` here with each case's name and result.

        Args:
            slots: cases that a worker may work on at a time, if it has as many threads.
            bundle: cases that go to a worker together, for work that is done as fast as it is told of.
            coming: as many cases are to follow, for which there should be workers.

        Returns:
            A line for each case that was given up, since workers died on it.

        Raises:
            HermesError: a worker that was there first lacks something, or the scheduler is gone.
            Exception: of `function`; what has been given to workers is taken back.
        """
        if not cases:
            return {}
        connection = self._connection(max(len(cases), coming))
        with requirements(folders) as wanted, tqdm(total=len(cases), desc=description, unit="case") as progress:
            assignment = Assignment(cases, ahead=bundle)
            run = _Run(connection.client, function, cases, take, wanted, slots, bundle, assignment, progress)
            try:
                run.finish(connection.keep_up)
            finally:
                run.take_back()
        return {case: _reason(workers) for case, workers in assignment.given_up.items()}

    def _connection(self, cases: int) -> Connection:
        if self._connected is None:
            self._connected = self._connect(cases)
            address = self._connected.client.dashboard_link
            print(f"hermes_nnunet: dashboard: {escaped(address or 'none')}", file=sys.stderr)
        return self._connected


@dataclass(frozen=True)
class _Calls:
    """Hides arguments from dask, which would look into containers for tasks of its own."""

    function: Callable[[Any], Any]
    arguments: tuple[Any, ...]


def _results_of(calls: _Calls) -> list[Any]:
    """On a worker."""
    return [calls.function(argument) for argument in calls.arguments]


class _Run(Generic[Item, Result]):
    """One call of `Cluster.run`."""

    def __init__(
        self,
        client: "Client",
        function: Callable[[Item], Result],
        cases: Mapping[str, Item],
        take: Callable[[str, Result], None],
        wanted: Requirements,
        slots: int,
        bundle: int,
        assignment: Assignment,
        progress: "tqdm[Any]",
    ) -> None:
        self._assignment = assignment
        self._client = client
        self._function = function
        self._cases = cases
        self._take = take
        self._wanted = wanted
        self._slots = slots
        self._bundle = bundle
        self._progress = progress
        self._prefix = f"hermes-{uuid4().hex[:8]}"
        self._started = 0
        self._began = False
        # Tasks under way: key -> worker, future, and what to do when it has ended.
        self._tasks: dict[str, tuple[str, Future, Callable[[Future], None]]] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        # Workers that were asked what they have; those that have all, and how many cases each may have.
        self._asked: set[str] = set()
        self._admitted: dict[str, int] = {}

    def finish(self, keep_up: Callable[[], None]) -> None:
        """Work on all cases."""
        start = lonely_since = time.monotonic()
        next_look = start
        while not self._assignment.is_done:
            now = time.monotonic()
            if now >= next_look:
                self._look()
                keep_up()
                next_look = time.monotonic() + _LOOK_S
            if self._admitted:
                lonely_since = now
            elif now > lonely_since + _LONELY_S:
                self._tell("no worker is there: waiting for one")
                lonely_since = float("inf")
            if self._began or self._asked <= self._admitted.keys() or now > start + _FIRST_ANSWERS_S:
                self._hand_out()
            try:
                key = self._ended.get(timeout=_LOOK_S)
            except Empty:
                continue
            if key in self._tasks:  # else its worker was lost meanwhile
                _, future, end = self._tasks.pop(key)
                end(future)

    def take_back(self) -> None:
        """Cancel what is under way; a worker that has begun a case finishes it."""
        if self._tasks and self._client.status == "running":
            self._client.cancel([future for _, future, _ in self._tasks.values()], force=True)
        self._tasks.clear()

    def _look(self) -> None:
        """See which workers are there."""
        try:
            present = self._client.nthreads()
        except (OSError, *_TIMED_OUT) as error:
            raise HermesError(f"the scheduler is gone ({error}): start it, and run this again") from None
        for worker in [worker for worker in self._asked if worker not in present]:
            self._lose(worker)
        for worker, threads in present.items():
            if worker not in self._asked:
                self._asked.add(worker)
                self._submit(worker, asking_for_versions(), COMPARED, partial(self._compare, worker, threads))

    def _hand_out(self) -> None:
        given: dict[str, list[str]] = {}
        for case, worker in self._assignment.hand_out(self._admitted):
            given.setdefault(worker, []).append(case)
        for worker, cases in given.items():
            self._began = True
            for first in range(0, len(cases), self._bundle):
                some = cases[first : first + self._bundle]
                arguments = [self._cases[case] for case in some]
                self._start(worker, self._function, arguments, partial(self._receive, some, worker))

    def _start(
        self, worker: str, function: Callable[[Any], Any], arguments: Sequence[Any], end: "Callable[[Future], None]"
    ) -> None:
        self._submit(worker, _results_of, _Calls(function, tuple(arguments)), end)

    def _submit(
        self, worker: str, function: Callable[[Any], Any], argument: Any, end: "Callable[[Future], None]"
    ) -> None:
        self._started += 1
        # Every attempt has a key of its own: dask counts deaths by key, and would give up by its own rule.
        key = f"{self._prefix}-{self._started}"
        future = self._client.submit(
            function, argument, key=key, workers=[worker], allow_other_workers=False, pure=False
        )
        self._tasks[key] = worker, future, end
        future.add_done_callback(lambda _: self._ended.put(key))

    def _compare(self, worker: str, threads: int, future: "Future") -> None:
        """Packages first: only with the same a worker understands what else is sent to it."""
        answer = self._answer(worker, future)
        if answer is None:
            return
        problem = version_problem(*answer)
        if problem is None:
            self._start(worker, problem_here, [self._wanted], partial(self._admit, worker, threads))
        else:
            self._refuse(problem)

    def _admit(self, worker: str, threads: int, future: "Future") -> None:
        answer = self._answer(worker, future)
        if answer is None:
            return
        (problem,) = answer
        if problem is None:
            self._admitted[worker] = min(threads, self._slots)
        else:
            self._refuse(problem)

    def _answer(self, worker: str, future: "Future") -> Any:
        """What a worker answers; None where it has died meanwhile, which is seen soon."""
        try:
            if future.status == "finished":
                return future.result(timeout=_RESULT_S)
        except _TIMED_OUT:
            self._asked.discard(worker)
            return None
        if future.status == "error":
            self._refuse(f"the worker {worker} cannot be asked what it has ({future.exception()})")
        return None

    def _refuse(self, problem: str) -> None:
        if not (self._began and self._admitted):
            raise HermesError(problem)
        self._tell(f"{problem}; it gets no case")

    def _receive(self, cases: Sequence[str], worker: str, future: "Future") -> None:
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, WorkerUnfitError):
                self._dismiss(worker, str(error))
                return
            if not isinstance(error, KilledWorker):
                raise error
        elif future.status == "finished":
            try:
                results = future.result(timeout=_RESULT_S)
            except _TIMED_OUT:
                pass  # it died with the results
            else:
                for case, result in zip(cases, results, strict=True):
                    self._assignment.finished(case)
                    self._take(case, result)
                self._progress.update(len(cases))
                return
        self._lose(worker)

    def _dismiss(self, worker: str, reason: str) -> None:
        """Give a worker nothing any more."""
        self._lose(worker, f"is given nothing any more ({reason})")
        self._asked.add(worker)
        if not self._admitted:
            raise HermesError(reason)

    def _lose(self, worker: str, event: str = "has died") -> None:
        self._asked.discard(worker)
        self._admitted.pop(worker, None)
        for key in [key for key, (of, _, _) in self._tasks.items() if of == worker]:
            self._client.cancel([self._tasks.pop(key)[1]], force=True)
        cases = self._assignment.lost(worker)
        given_up = [case for case in cases if case in self._assignment.given_up]
        others = [case for case in cases if case not in given_up]
        fates = [f"{fate}: {listed(some)}" for fate, some in (("for another", others), ("given up", given_up)) if some]
        if fates:
            self._tell(f"the worker {worker} {event}; {', '.join(fates)}")
        self._progress.update(len(given_up))

    def _tell(self, line: str) -> None:
        self._progress.write(f"hermes_nnunet: warning: {escaped(line)}", file=sys.stderr)


def _reason(workers: list[str]) -> str:
    machines = listed(dict.fromkeys(str(urlsplit(worker).hostname) for worker in workers))
    return (
        f"{MOST_DEATHS} workers died on it (on {machines}), most likely because memory ran out: see their logs, or "
        "give workers more memory"
    )
