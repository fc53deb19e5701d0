"""labels.json of an output folder: what the values mean, and what has made the segmentation of each case."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, Strict
from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.core.expected_dice import EXPECTED_DICE, ExpectedDice
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.schema import WITH_MORE, Number, Text, Whole, must_be, shaped_as, versioned

LABELS_FILE = "labels.json"
FORMAT_VERSION = 1
_REMEDY = "add --overwrite, or choose another folder"
# A folder of masks, or what follows the name of the case in that of a file beside the others.
_Ending = Annotated[
    str, Strict(), Field(pattern=r"^(/|[._][^/\\\x00-\x1f\x7f]*)$"), must_be("the ending of a file, such as .nii.gz")
]
T = TypeVar("T")


class _Label(TypedDict):
    name: Text
    values: list[Whole]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Expected(TypedDict):
    mean: Number
    deviation: Number | None
    cases: Whole | None


class _Pass(TypedDict):
    modality: Text
    tasks: list[Text]
    expected_dice: NotRequired[dict[Text, _Expected]]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Run(TypedDict):
    weights: dict[Text, Text]
    model: Text
    options: dict[Text, Any]


class _Found(TypedDict):
    modality: Text
    probability: Number | None
    runner_up: Text | None
    runner_up_probability: Number
    by: Text


@dataclass
class LabelsFile:
    """Content of the file.

    Attributes:
        labels: an entry for each label, with its name, values, member and colour.
        passes: the contexts that the network is told, with the Dice to expect of what is segmented.
        runs: `Provenance.to_json` of each run that has left a case here, by its hash.
        cases: hash of the run that has segmented a case, for each finished one. Older releases did not write it.
        modalities: `FoundModality.to_json` of each case whose modality nobody has named.
        images: of each case what its images were. Older releases did not write it.
        files: endings of the files of each case. They are of the run that `cases` names; where it names none, the case
            was begun and not finished, and they may be of several. Older releases did not write it.
    """

    labels: Annotated[list[dict[str, Any]], shaped_as(list[_Label])]
    passes: Annotated[list[dict[str, Any]], shaped_as(list[_Pass])]
    runs: Annotated[dict[str, dict[str, Any]], shaped_as(dict[Text, _Run])] = field(default_factory=dict)
    cases: dict[Text, Text] = field(default_factory=dict)
    modalities: Annotated[dict[str, dict[str, Any]], shaped_as(dict[Text, _Found])] = field(default_factory=dict)
    images: dict[Text, ImageStamp] = field(default_factory=dict)
    files: dict[Text, list[_Ending]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "LabelsFile | None":
        """The file in a folder; None where there is none.

        Raises:
            HermesError: it is not one of this release.
        """
        path = folder / LABELS_FILE
        if not path.exists():
            return None
        return versioned(cls, read_json(path, _REMEDY), FORMAT_VERSION, str(path), _REMEDY)

    def says_the_same(self, other: "LabelsFile") -> bool:
        """Whether values and contexts are those of the other, so that cases of both can lie side by side."""
        return self.labels == other.labels and _told(self.passes) == _told(other.passes)

    def modality(self, case: str) -> str | None:
        """What a case was taken for; None where it was run as of several modalities."""
        if case in self.modalities:
            return self.modalities[case]["modality"]
        told = {one["modality"] for one in self.passes}
        return told.pop() if len(told) == 1 else None

    def expected_dice(self, case: str) -> dict[str, ExpectedDice]:
        """The Dice to expect of the tasks of a case, where it is known."""
        modality = self.modality(case)
        passes = [one for one in self.passes if modality in (None, one["modality"])]
        known = {task: dice for one in reversed(passes) for task, dice in one.get(EXPECTED_DICE, {}).items()}
        return {task: ExpectedDice(**dice) for task, dice in known.items()}

    @property
    def begun(self) -> set[str]:
        """The cases that it speaks of, finished or not."""
        return {*self.cases, *self.files}

    def still_true(self, earlier: "LabelsFile", entries: Mapping[str, T]) -> dict[str, T]:
        """Of entries about cases of an earlier file those that hold: not of cases that were made otherwise since."""
        return {case: entry for case, entry in entries.items() if case not in self.begun or self._agrees(earlier, case)}

    def _agrees(self, earlier: "LabelsFile", case: str) -> bool:
        of_run = self.cases.get(case)
        return of_run is not None and earlier.is_of(case, of_run, self.images.get(case))

    def is_of(self, case: str, run: str, images: ImageStamp | None) -> bool:
        """Whether a case is finished, by the run of this hash and of these images, as far as they are known."""
        before = self.images.get(case)
        return self.cases.get(case) == run and (before is None or images is None or before.content == images.content)

    def keep_cases_of(self, earlier: "LabelsFile") -> None:
        """Take over what made the cases that are there already."""
        files = self.still_true(earlier, earlier.files)
        cases = self.still_true(earlier, earlier.cases)
        modalities = self.still_true(earlier, earlier.modalities)
        images = self.still_true(earlier, earlier.images)
        self.runs = {**earlier.runs, **self.runs}
        self.cases = {**cases, **self.cases}
        self.modalities = {**modalities, **self.modalities}
        self.images = {**images, **self.images}
        self.files = {**files, **self.files}

    def of_cases(self, cases: AbstractSet[str]) -> "LabelsFile":
        """The same for some of the cases only."""
        return LabelsFile(
            self.labels,
            self.passes,
            self.runs,
            _of(self.cases, cases),
            _of(self.modalities, cases),
            _of(self.images, cases),
            _of(self.files, cases),
        )

    def begin(self, case: str, endings: Iterable[str]) -> None:
        """Say that a case is segmented anew: until it is finished, nobody knows of what run its files are.

        Args:
            endings: of files that are there or will be.
        """
        for entries in (self.cases, self.modalities, self.images):
            entries.pop(case, None)
        self.files[case] = [*endings]

    def disown(self, newer: "LabelsFile") -> None:
        """Forget what made the cases of a newer file whose values mean something else."""
        for case in newer.begun:
            self.begin(case, newer.files.get(case, ()))

    def has_other_images(self, case: ImageSource) -> bool:
        """Whether a case has been segmented when its images were others."""
        stamp = self.images.get(case.name)
        return stamp is not None and not stamp.is_of(case.paths)

    def finished(
        self,
        case: str,
        made_by: Provenance,
        endings: Iterable[str],
        found: FoundModality | None = None,
        images: ImageStamp | None = None,
    ) -> None:
        """Say that a case has been segmented.

        Args:
            endings: of the files that were written; what the same run made of the same images before stays.
            found: the modality that it was found to be of.
            images: of which it was made.
        """
        before = self.files.get(case, ()) if self.is_of(case, made_by.hash, images) else ()
        self.begin(case, dict.fromkeys([*before, *endings]))
        if images is not None:
            self.images[case] = images
        self.cases[case] = made_by.hash
        if found is not None:
            self.modalities[case] = found.to_json()
        self.runs[made_by.hash] = made_by.to_json()

    def write(self, folder: Path) -> None:
        """Write the file, with the runs that a case is of."""
        of_cases = set(self.cases.values())
        content: Mapping[str, Any] = {
            "format_version": FORMAT_VERSION,
            "labels": self.labels,
            "passes": self.passes,
            "runs": {name: run for name, run in sorted(self.runs.items()) if name in of_cases},
            "cases": dict(sorted(self.cases.items())),
            **({"modalities": dict(sorted(self.modalities.items()))} if self.modalities else {}),
            **({"images": {case: vars(stamp) for case, stamp in sorted(self.images.items())}} if self.images else {}),
            "files": dict(sorted(self.files.items())),
        }
        write_json(content, folder / LABELS_FILE)


def _of(entries: Mapping[str, T], cases: AbstractSet[str]) -> dict[str, T]:
    return {case: entry for case, entry in entries.items() if case in cases}


def _told(passes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the network is told; the Dice to expect changes with every validation."""
    return [{key: value for key, value in one.items() if key != EXPECTED_DICE} for one in passes]
