"""Which worker has which case, and what becomes of the cases of a worker that dies."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping

MOST_DEATHS = 3


class Assignment:
    """Hands cases to workers that are free; knows nothing of how they get there.

    When a worker dies, its cases wait for another. Each is a suspect then: it gets a worker of its own, so that the
    next death is the fault of no other case.

    Args:
        cases: their names.
        ahead: cases that a worker has beside those that it works on, while there are enough for all.

    Attributes:
        given_up: case -> the MOST_DEATHS workers that died with it.
    """

    def __init__(self, cases: Iterable[str], ahead: int = 0) -> None:
        self._ahead = ahead
        self.given_up: dict[str, list[str]] = {}
        self._fresh = deque(cases)
        self._suspects: deque[str] = deque()
        self._deaths: defaultdict[str, list[str]] = defaultdict(list)
        self._cases_of: defaultdict[str, set[str]] = defaultdict(set)
        self._worker_of: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether every case is finished or given up."""
        return not (self._fresh or self._suspects or self._worker_of)

    def hand_out(self, workers: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Give cases to free workers, and yield each case with its worker.

        Args:
            workers: those that are there, and how many cases each may work on at a time.
        """
        kept_free = len(self._suspects)
        # Towards the end a worker must not have what another could begin with.
        ahead = min(self._ahead, len(self._fresh) // (2 * max(1, len(workers))))
        for worker in sorted(workers, key=lambda worker: len(self._cases_of[worker])):
            own = self._cases_of[worker]
            if kept_free > 0:
                kept_free -= 1
                if not own:
                    yield self._give(self._suspects.popleft(), worker)
                continue
            while self._fresh and len(own) < workers[worker] + ahead and not any(case in self._deaths for case in own):
                yield self._give(self._fresh.popleft(), worker)

    def finished(self, case: str) -> None:
        """A case is done, or has failed by itself."""
        self._cases_of[self._worker_of.pop(case)].discard(case)

    def lost(self, worker: str) -> list[str]:
        """A worker is gone: the cases that it had."""
        cases = sorted(self._cases_of.pop(worker, ()))
        for case in cases:
            del self._worker_of[case]
            self._deaths[case].append(worker)
            if len(self._deaths[case]) < MOST_DEATHS:
                self._suspects.append(case)
            else:
                self.given_up[case] = self._deaths[case]
        return cases

    def _give(self, case: str, worker: str) -> tuple[str, str]:
        self._worker_of[case] = worker
        self._cases_of[worker].add(case)
        return case, worker
