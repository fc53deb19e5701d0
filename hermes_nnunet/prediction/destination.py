"""The folder that predictions are written to: what is there already, and what is still to do."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.prediction.earlier import Earlier, measured_in, read_earlier, read_labels
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.label_table import remove_colour_tables, write_colour_tables
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.parts import records_of_part, records_of_parts
from hermes_nnunet.prediction.passes import Choice
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.prediction.statistics import JSON_FILE as STATISTICS_FILE
from hermes_nnunet.prediction.statistics import CaseStatistics, write_statistics
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS, NIFTI, SEG_NRRD, SEG_NRRD_ENDING, Wishes

_FOLDER_OF_MASKS = "/"
_PROBABILITIES, _PREVIEW, _VIEWER = ".npz", ".png", ".viewer.html"


@dataclass(frozen=True)
class ToDo:
    """What a run has before it.

    Attributes:
        cases: to predict.
        anew: those of which nothing can stay, since they were made otherwise, or nobody knows how.
        leftovers: files of these that the run does not write itself, or that would mean something else meanwhile.
        measured: statistics of the other cases.
        earlier: what is known of all.
        lines: for people to read.
    """

    cases: list[ImageSource]
    anew: frozenset[str]
    leftovers: tuple[Path, ...]
    measured: dict[str, CaseStatistics]
    earlier: Earlier
    lines: list[str]


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
        return self._place(case, self.endings[0])

    def mask_name(self, task: str) -> str:
        """File name of a task's mask within the folder of a case."""
        return f"{task.replace('/', '__')}{self.file_ending}"

    def probabilities(self, case: str) -> Path:
        return self._place(case, _PROBABILITIES)

    def preview(self, case: str) -> Path:
        return self._place(case, _PREVIEW)

    def viewer(self, case: str) -> Path:
        return self._place(case, _VIEWER)

    @property
    def endings(self) -> list[str]:
        """What follows the name of a case in the names of its files; that of the segmentation comes first."""
        of_type = {NIFTI: self.file_ending, SEG_NRRD: SEG_NRRD_ENDING}
        of_type |= {name: written_as.ending for name, written_as in DICOM_OBJECTS.items()}
        wished = {
            _PROBABILITIES: self.wishes.probabilities,
            _PREVIEW: self.wishes.preview,
            _VIEWER: self.wishes.viewer,
        }
        result = _FOLDER_OF_MASKS if self.wishes.per_task else of_type[self.wishes.output_type]
        return [result, *(ending for ending, is_wished in wished.items() if is_wished)]

    def files(self, case: str) -> list[Path]:
        """All that is written for a case alone."""
        return [self._place(case, ending) for ending in self.endings]

    def to_do(self, cases: Sequence[ImageSource], *, overwrite: bool, go_on: bool) -> ToDo:
        """The cases to predict, with `go_on` those that this very model has not finished.

        Raises:
            HermesError: there are results, and neither `overwrite` nor `go_on` was asked for; or they are of other
                tasks, so that they cannot be gone on with; or what would be replaced is no result.
        """
        self.check_free(cases, overwrite=overwrite, go_on=go_on)
        names = [case.name for case in cases]
        earlier = read_earlier(
            [self.folder, *records_of_parts(self.folder)],
            self.records,
            self._labels,
            names,
            go_on=go_on,
            statistics=self.wishes.statistics,
        )
        said = earlier.labels
        of_model = {name for name in names if said.cases.get(name) == self.provenance.hash}
        of_other_images = {case.name for case in cases if case.name in of_model and said.has_other_images(case)}
        right = of_model - of_other_images
        left = [case for case in cases if not (go_on and case.name in right and self._is_complete(case.name, earlier))]
        anew = [case for case in left if case.name not in right]
        leftovers = tuple(path for case in anew for path in self._leftovers(case, earlier))
        measured = measured_in(self.records)
        gone = earlier.superseded.union(case.name for case in anew)
        stay = {} if earlier.replaced else {case: entry for case, entry in measured.items() if case not in gone}
        lines = []
        if go_on:
            lines = self._redone(said, [case.name for case in anew if case.name not in of_model])
            if of_other_images:
                lines.append(f"predicted again, since their images have changed: {listed(sorted(of_other_images))}")
        lost = sorted(measured.keys() - stay.keys() - {*(names if self.wishes.statistics else ())})
        lines += self._unexplained(earlier, names) + self._removed(leftovers, lost)
        return ToDo(left, frozenset(case.name for case in anew), leftovers, stay, earlier, lines)

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
        earlier = read_labels(self.records)
        if earlier is None:
            return {}
        return {
            case.name: FoundModality(**earlier.modalities[case.name])
            for case in cases
            if case.name in earlier.modalities
            and earlier.cases.get(case.name) == self.provenance.hash
            and not earlier.has_other_images(case)
        }

    def modalities_before(self) -> list[str]:
        """The modalities that labels.json has contexts of, in its order."""
        earlier = read_labels(self.records)
        return [] if earlier is None else [*dict.fromkeys(one["modality"] for one in earlier.passes)]

    def open(self, work: ToDo) -> None:
        """Make the folder, remove what is not to be taken for a result of this run, and write the tables of labels.

        From here on no record says of which run the files of a case are that is done anew, until it is finished: a kill
        at any moment leaves none that another run would take for finished.

        Raises:
            HermesError: it cannot be written to.
        """
        try:
            self.records.mkdir(parents=True, exist_ok=True)
            for path in work.leftovers:
                path.unlink(missing_ok=True)
                if path.parent != self.folder:
                    with suppress(OSError):  # it holds others
                        path.parent.rmdir()
            if measured_in(self.records) != work.measured:
                write_statistics(work.measured, self.records)
            if work.earlier.replaced is not None:
                remove_colour_tables(self.records)
            own = work.earlier.own - work.earlier.superseded
            stay = own.union(case.name for case in work.cases) - work.anew
            self._labels.keep_cases_of(work.earlier.labels.of_cases(stay))
            for case in sorted(work.anew):
                self._labels.begin(case, self.endings)
            self._labels.write(self.records)
            if self.wishes.output_type == NIFTI and not self.wishes.per_task:
                write_colour_tables(self.choice.labels, self.records)
        except OSError as error:
            raise HermesError(str(line_of(error, place=self.folder))) from None

    def record(self, cases: Mapping[str, ImageStamp | None]) -> None:
        """Say in labels.json what has made the results of cases, which are in their places, and of which images."""
        for case, images in cases.items():
            self._labels.finished(case, self.provenance, self.endings, self.found.get(case), images)
        self._labels.write(self.records)

    @cached_property
    def _labels(self) -> LabelsFile:
        labels = [label.to_json() for label in self.choice.labels]
        if self.wishes.per_task:
            labels = [{**label, "value": 1, "values": [1], "file": self.mask_name(label["name"])} for label in labels]
        return LabelsFile(labels, [one.to_json() for one in self.choice.passes])

    def _place(self, case: str, ending: str) -> Path:
        return self.folder / f"{case}{ending}"

    def _is_complete(self, case: str, earlier: Earlier) -> bool:
        """Whether a finished case has all that is wished for now, and has it from the run that finished it."""
        # Older releases did not say which files were written.
        written = earlier.labels.files.get(case, self.endings)
        files = self.files(case)
        if self.wishes.per_task:
            files += [self.result(case) / self.mask_name(label.name) for label in self.choice_of(case).labels]
        return (
            {*self.endings} <= {*written}
            and all(file.exists() for file in files)
            and not (self.wishes.statistics and case not in earlier.measured)
        )

    def _leftovers(self, case: ImageSource, earlier: Earlier) -> list[Path]:
        """Files that earlier runs wrote of a case and that have to go before it is done anew.

        What it gets again stays until then, if its values still mean the same.
        """
        written = {*earlier.labels.files.get(case.name, ())}
        endings = written | {*self.endings} if case.name in earlier.foreign else written - {*self.endings}
        places = [self._place(case.name, ending) for ending in sorted(endings - {_FOLDER_OF_MASKS})]
        masks = self._place(case.name, _FOLDER_OF_MASKS)
        if _FOLDER_OF_MASKS in endings and not masks.is_symlink():  # what a link leads to was not written here
            places += [masks / name for name in sorted(earlier.masks)]
        places = [place for place in places if place.is_file()]
        images = {path.resolve() for path in case.paths} if places else {}
        return [place for place in places if place.resolve() not in images]

    def _redone(self, earlier: LabelsFile, cases: Sequence[str]) -> list[str]:
        """Why cases that have results are predicted again, a line for each reason."""
        by_reason: dict[str, list[str]] = {}
        for case in cases:
            if case not in earlier.cases and not all(file.exists() for file in self.files(case)):
                continue
            run = earlier.runs.get(earlier.cases.get(case, ""))
            reason = (
                f"{LABELS_FILE} does not say what made them"
                if run is None
                else f"a run with other {listed(self.provenance.differences(run))} made them"
            )
            by_reason.setdefault(reason, []).append(case)
        return [f"predicted again, since {reason}: {listed(names)}" for reason, names in by_reason.items()]

    def _unexplained(self, earlier: Earlier, cases: Sequence[str]) -> list[str]:
        """What stays of an earlier run whose values nothing will explain any more."""
        left = sorted({*earlier.replaced.cases}.difference(cases)) if earlier.replaced else []
        return [f"{LABELS_FILE} will not be that of these cases in {self.folder} any more: {listed(left)}"] * bool(left)

    def _removed(self, files: Sequence[Path], measured: Sequence[str]) -> list[str]:
        """What goes and does not come again, or not at once."""
        names = [str(file.relative_to(self.folder)) for file in files]
        names += [f"{case} in {STATISTICS_FILE}" for case in measured]
        line = f"will be removed, since other weights, options, images or tasks made it: {listed(names)}"
        return [line] * bool(names)

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
