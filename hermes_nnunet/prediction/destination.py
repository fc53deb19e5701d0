"""The folder that predictions are written to: what is there already, and what is still to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.label_table import write_colour_tables
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.parts import records_of_part
from hermes_nnunet.prediction.passes import Choice
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.prediction.statistics import CaseStatistics, read_statistics
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS, NIFTI, SEG_NRRD, SEG_NRRD_ENDING, Wishes


@dataclass(frozen=True)
class Destination:
    """An output folder, and the files that each case has in it.

    Attributes:
        choice: what is segmented, in all cases together.
        file_ending: of NIfTI files.
        provenance: what makes the segmentations of this run.
        choices: what is segmented in a case, where that is not the same in all.
        found: modalities of cases, where nobody has named them.
        part: of the cases; what is said of it lies by itself, since others may write into the folder at the same time.
    """

    folder: Path
    wishes: Wishes
    choice: Choice
    file_ending: str
    provenance: Provenance
    choices: Mapping[str, Choice] = field(default_factory=dict)
    found: Mapping[str, FoundModality] = field(default_factory=dict)
    part: Part | None = None

    @property
    def records(self) -> Path:
        """Where the files lie that speak of all cases: labels.json, run.json, statistics."""
        return records_of_part(self.folder, self.part)

    def choice_of(self, case: str) -> Choice:
        """What is segmented in a case."""
        return self.choices.get(case, self.choice)

    def result(self, case: str) -> Path:
        """The segmentation: a file, or with `per_task` a folder."""
        if self.wishes.per_task:
            return self.folder / case
        endings = {NIFTI: self.file_ending, SEG_NRRD: SEG_NRRD_ENDING}
        endings |= {name: written_as.ending for name, written_as in DICOM_OBJECTS.items()}
        return self.folder / f"{case}{endings[self.wishes.output_type]}"

    def mask_name(self, task: str) -> str:
        """File name of a task's mask within the folder of a case."""
        return f"{task.replace('/', '__')}{self.file_ending}"

    def probabilities(self, case: str) -> Path:
        return self.folder / f"{case}.npz"

    def preview(self, case: str) -> Path:
        return self.folder / f"{case}.png"

    def viewer(self, case: str) -> Path:
        return self.folder / f"{case}.viewer.html"

    def files(self, case: str) -> list[Path]:
        """All that is written for a case alone."""
        files = [self.result(case)]
        if self.wishes.probabilities:
            files.append(self.probabilities(case))
        if self.wishes.preview:
            files.append(self.preview(case))
        if self.wishes.viewer:
            files.append(self.viewer(case))
        return files

    def to_do(
        self, cases: Sequence[ImageSource], *, overwrite: bool, go_on: bool
    ) -> tuple[list[ImageSource], list[str]]:
        """The cases to predict, with `go_on` those that this very model has not finished; lines for people to read.

        Raises:
            HermesError: there are results, and neither `overwrite` nor `go_on` was asked for; or they are of other
                tasks, so that they cannot be gone on with; or what would be replaced is no result.
        """
        self.check_free(cases, overwrite=overwrite, go_on=go_on)
        if overwrite:
            return list(cases), self._unexplained(cases)
        if not go_on:
            return list(cases), []
        there = [case for case in cases if all(path.exists() for path in self.files(case.name))]
        earlier = self._earlier_of_same_labels()
        of_others = {case.name for case in there if earlier.cases.get(case.name) != self.provenance.hash}
        of_other_images = {case.name for case in there if earlier.has_other_images(case)} - of_others
        measured = self.measured() if self.wishes.statistics else {case.name: {} for case in cases}
        finished = {case.name for case in there if case.name in measured} - of_others - of_other_images
        lines = self._redone(earlier, sorted(of_others))
        if of_other_images:
            lines.append(f"predicted again, since their images have changed: {listed(sorted(of_other_images))}")
        return [case for case in cases if case.name not in finished], lines

    def measured(self) -> dict[str, CaseStatistics]:
        """Statistics of the cases that were finished before.

        Raises:
            HermesError: a file of them is not one of this release.
        """
        return {name: of_case for folder in self._places() for name, of_case in read_statistics(folder).items()}

    def check_free(self, cases: Sequence[ImageSource], *, overwrite: bool, go_on: bool) -> None:
        """See that there is a place for the results of all cases; needs no choice of what is segmented.

        Raises:
            HermesError: there are results, and neither `overwrite` nor `go_on` was asked for; or what would be
                replaced is no result.
        """
        for case in cases:
            self._check_replaceable(case)
        if not (overwrite or go_on):
            files = [path for case in cases for path in self.files(case.name) if path.exists()]
            files += [path for path in [self.records / LABELS_FILE] if path.exists()]
            if files:
                raise HermesError(f"{files[0]} exists: choose another folder, or add --continue or --overwrite")

    def found_before(self, cases: Sequence[ImageSource]) -> dict[str, FoundModality]:
        """Modalities of cases that a run of this very model has found and finished."""
        earlier = self._earlier()
        if earlier is None:
            return {}
        return {
            case.name: FoundModality(**earlier.modalities[case.name])
            for case in cases
            if case.name in earlier.modalities
            and earlier.cases.get(case.name) == self.provenance.hash
            and not earlier.has_other_images(case)
        }

    def open(self) -> None:
        """Make the folder and write the tables of labels.

        Raises:
            HermesError: it cannot be written to.
        """
        try:
            self.records.mkdir(parents=True, exist_ok=True)
            earlier = self._earlier()
            if earlier is not None and earlier.says_the_same(self._labels):
                self._labels.keep_cases_of(earlier)
            self._labels.write(self.records)
            if self.wishes.output_type == NIFTI and not self.wishes.per_task:
                write_colour_tables(self.choice.labels, self.records)
        except OSError as error:
            raise HermesError(str(line_of(error, place=self.folder))) from None

    def record(self, cases: Mapping[str, ImageStamp | None]) -> None:
        """Say in labels.json what has made the results of cases, which are in their places, and of which images."""
        for case, images in cases.items():
            self._labels.finished(case, self.provenance, self.found.get(case), images)
        self._labels.write(self.records)

    @cached_property
    def _labels(self) -> LabelsFile:
        labels = [label.to_json() for label in self.choice.labels]
        if self.wishes.per_task:
            labels = [{**label, "value": 1, "values": [1], "file": self.mask_name(label["name"])} for label in labels]
        return LabelsFile(labels, [one.to_json() for one in self.choice.passes])

    def _earlier(self) -> LabelsFile | None:
        """What an earlier run has written, where it can be read."""
        try:
            return LabelsFile.read(self.records)
        except HermesError:
            return None

    def _earlier_of_same_labels(self) -> LabelsFile:
        known = LabelsFile([], [])
        for folder in self._places():
            earlier = LabelsFile.read(folder)
            if earlier is None:
                continue
            if not earlier.says_the_same(self._labels):
                raise HermesError(
                    f"{folder / LABELS_FILE} is of other tasks, modalities or kinds of files than asked for now: "
                    "choose another folder, or add --overwrite instead of --continue"
                )
            earlier.keep_cases_of(known)
            known = earlier
        return known

    def _places(self) -> list[Path]:
        """Where something may be said of cases that are finished; what is newer comes last."""
        return [self.folder] if self.part is None else [self.folder, self.records]

    def _redone(self, earlier: LabelsFile, cases: Sequence[str]) -> list[str]:
        """Why finished cases are predicted again, a line for each reason."""
        by_reason: dict[str, list[str]] = {}
        for case in cases:
            run = earlier.runs.get(earlier.cases.get(case, ""))
            reason = (
                f"{LABELS_FILE} does not say what made them"
                if run is None
                else f"a run with other {listed(self.provenance.differences(run))} made them"
            )
            by_reason.setdefault(reason, []).append(case)
        return [f"predicted again, since {reason}: {listed(names)}" for reason, names in by_reason.items()]

    def _unexplained(self, cases: Sequence[ImageSource]) -> list[str]:
        """What stays of an earlier run whose values nothing will explain any more."""
        earlier = self._earlier()
        if earlier is None or earlier.says_the_same(self._labels):
            return []
        left = sorted(set(earlier.cases).difference(case.name for case in cases))
        return [f"{LABELS_FILE} will not be that of these cases in {self.folder} any more: {listed(left)}"] * bool(left)

    def _check_replaceable(self, case: ImageSource) -> None:
        longest = max((path.name for path in self.files(case.name)), key=lambda name: len(name.encode()))
        surplus = len(longest.encode()) - LONGEST_FILE_NAME
        if surplus > 0:
            raise HermesError(
                f"{case.place}: its result would be called {longest}, {surplus} letters too many for names of files: "
                "rename the image or its folder"
            )
        images = [path.resolve() for path in case.paths]
        for file in self.files(case.name):
            if any(image.is_relative_to(file.resolve()) for image in images):
                raise HermesError(f"{file} would replace the image of case {case.name}: choose another folder")
        result = self.result(case.name)
        if self.wishes.per_task and result.is_dir():
            others = [path for path in sorted(result.iterdir()) if not path.name.endswith(self.file_ending)]
            if others:
                raise HermesError(f"{result} holds {others[0].name}, which is no mask: choose another folder")
