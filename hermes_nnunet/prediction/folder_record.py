"""What is written about a folder of results as a whole, one finished case after another."""

from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.run_record import RunRecord
from hermes_nnunet.prediction.statistics import CaseStatistics, write_statistics


@dataclass(frozen=True)
class FinishedCase:
    """A case whose files are in their places.

    Attributes:
        name: of the case.
        images: the files that it was read from.
        seconds: from the beginning of its reading until its files were there.
        remarks: lines on how its images were read.
        statistics: of the tasks, if they are wished for.
    """

    name: str
    images: tuple[Path, ...]
    seconds: float
    remarks: tuple[str, ...]
    statistics: CaseStatistics


@dataclass(frozen=True)
class FolderRecord:
    """The files of a folder that speak of all its cases: run.json, the statistics, labels.json.

    Attributes:
        measured: statistics of the cases that were finished before; those of the new ones are added.
        run: of these cases; None where none is kept.
    """

    destination: Destination
    measured: dict[str, CaseStatistics]
    run: RunRecord | None = None

    def add(self, case: FinishedCase) -> None:
        """Record a case."""
        if self.run is not None:
            self.run.add_case(case.name, case.images, case.seconds, case.remarks)
        if self.destination.wishes.statistics:
            self.measured[case.name] = case.statistics
            write_statistics(self.measured, self.destination.records)
        # Last: it says that all is there.
        self.destination.record(case.name)
