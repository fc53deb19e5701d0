"""What earlier runs have left in a folder of results, and what of it means the same now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.statistics import CaseStatistics, read_statistics


@dataclass
class Earlier:
    """What is known of the cases of a folder, the newest where several records speak of one.

    Attributes:
        labels: what made them, beside labels and passes of the new run.
        measured: their statistics.
        own: cases that the file speaks of that the new run writes anew.
        superseded: those of these that a newer file says otherwise of.
        replaced: that file, where its values mean something else.
        foreign: cases whose values mean something else.
        masks: names of masks of these within the folder of a case.
    """

    labels: LabelsFile
    measured: dict[str, CaseStatistics] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    superseded: set[str] = field(default_factory=set)
    replaced: LabelsFile | None = None
    foreign: set[str] = field(default_factory=set)
    masks: set[str] = field(default_factory=set)

    def add(self, said: LabelsFile, measured: dict[str, CaseStatistics]) -> None:
        """Add a newer file that means the same."""
        self.superseded |= self.own.difference(said.still_true(self.labels, dict.fromkeys(self.own)))
        self.measured = {**said.still_true(self.labels, self.measured), **measured}
        self.foreign -= said.begun
        said.keep_cases_of(self.labels)
        self.labels = said

    def add_foreign(self, said: LabelsFile, cases: Iterable[str]) -> None:
        """Add a newer file that means something else.

        Args:
            cases: that may be there, where a file of an older release speaks of none.
        """
        self.superseded |= self.own & said.begun
        self.labels.disown(said)
        self.measured = {case: entry for case, entry in self.measured.items() if case not in said.begun}
        self.foreign |= said.begun or {*cases}
        self.masks |= {name for label in said.labels if _is_file_name(name := str(label.get("file", "")))}


def read_earlier(
    places: Sequence[Path], own: Path, wanted: LabelsFile, cases: Sequence[str], *, go_on: bool, statistics: bool
) -> Earlier:
    """Read what is said of a folder's cases.

    Args:
        places: where labels.json and statistics lie; what is newer comes last.
        own: the one that the new run writes to.
        wanted: labels and passes of the new run.
        cases: of the new run.
        go_on: all must mean the same, and be readable.
        statistics: are wanted, too.

    Raises:
        HermesError: with `go_on`, a file is of other tasks, or not one of this release.
    """
    earlier = Earlier(LabelsFile(wanted.labels, wanted.passes))
    for place in places:
        said = read_labels(place, go_on=go_on)
        if said is None:
            continue
        same, begun = said.says_the_same(wanted), said.begun
        if go_on and not same:
            raise HermesError(
                f"{place / LABELS_FILE} is of other tasks, modalities or kinds of files than asked for now: "
                "choose another folder, or add --overwrite instead of --continue"
            )
        if same:
            earlier.add(said, measured_in(place, strict=go_on and statistics))
        else:
            earlier.add_foreign(said, cases)
        if place == own:
            earlier.own = begun
            earlier.replaced = None if same else said
    return earlier


def read_labels(folder: Path, *, go_on: bool = False) -> LabelsFile | None:
    """The labels.json of a folder, where there is one; without `go_on`, where it can be read.

    Raises:
        HermesError: it is not one of this release.
    """
    try:
        return LabelsFile.read(folder)
    except HermesError:
        if go_on:
            raise
        return None


def measured_in(folder: Path, *, strict: bool = False) -> dict[str, CaseStatistics]:
    """The statistics in a folder; unless `strict`, none where they cannot be read.

    Raises:
        HermesError: they are not those of this release.
    """
    try:
        return read_statistics(folder)
    except HermesError:
        if strict:
            raise
        return {}


def _is_file_name(name: str) -> bool:
    return Path(name).name == name and name not in ("", "..")
