"""What is written about a folder of results as a whole, one finished case after another."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.run_record import RunRecord
from hermes_nnunet.prediction.statistics import CaseStatistics, write_statistics

# Between two times of writing, as long as writing takes.
_TIMES_AS_LONG = 20


@dataclass(frozen=True)
class FinishedCase:
    """A case whose files are in their places.

    Attributes:
        name: of the case.
        images: the files that it was read from.
        stamp: of these files before they were read; None where there are none.
        seconds: from the beginning of its reading until its files were there.
        remarks: lines on how its images were read.
        statistics: of the tasks, if they are wished for.
    """

    name: str
    images: tuple[Path, ...]
    stamp: ImageStamp | None
    seconds: float
    remarks: tuple[str, ...]
    statistics: CaseStatistics


class FolderRecord:
    """The files of a folder that speak of all its cases: run.json, the statistics, labels.json.

    They are written anew for every case. Where that takes long, since there are many, several cases share it: a kill in
    between has these cases done again, and writing takes no more than a twentieth of the time.

    Args:
        measured: statistics of the cases that were finished before; those of the new ones are added.
        run: of these cases; None where none is kept.
    """

    def __init__(
        self, destination: Destination, measured: dict[str, CaseStatistics], run: RunRecord | None = None
    ) -> None:
        self._destination = destination
        self._measured = measured
        self._run = run
        self._waiting: list[FinishedCase] = []
        self._next = 0.0

    def add(self, case: FinishedCase) -> None:
        """Record a case."""
        self._waiting.append(case)
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        begun = time.monotonic()
        waiting, self._waiting = self._waiting, []
        if self._run is not None:
            for case in waiting:
                self._run.add_case(case.name, case.images, case.seconds, case.remarks, write=case is waiting[-1])
        if self._destination.wishes.statistics:
            self._measured |= {case.name: case.statistics for case in waiting}
            write_statistics(self._measured, self._destination.records)
        # Last: it says that all is there.
        self._destination.record({case.name: case.stamp for case in waiting})
        ended = time.monotonic()
        self._next = ended + _TIMES_AS_LONG * (ended - begun)

    def end(self, failed: Mapping[str, str]) -> None:
        """Record that there is nothing left to do, and the cases that have failed: a line for each, by name."""
        self.write()
        if self._run is not None:
            self._run.end(failed)
