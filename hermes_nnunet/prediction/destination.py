"""The folder that predictions are written to: what is there already, and what is still to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.label_table import write_colour_tables
from hermes_nnunet.prediction.passes import Choice
from hermes_nnunet.prediction.statistics import read_statistics
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS, NIFTI, Wishes

LABELS_FILE = "labels.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Destination:
    """An output folder, and the files that each case has in it.

    Attributes:
        file_ending: of NIfTI files.
    """

    folder: Path
    wishes: Wishes
    choice: Choice
    file_ending: str

    def result(self, case: str) -> Path:
        """The segmentation: a file, or with `per_task` a folder."""
        if self.wishes.per_task:
            return self.folder / case
        written_as = DICOM_OBJECTS.get(self.wishes.output_type)
        return self.folder / f"{case}{self.file_ending if written_as is None else written_as.ending}"

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

    def to_do(self, cases: Sequence[ImageSource], *, overwrite: bool, go_on: bool) -> list[ImageSource]:
        """The cases to predict; with `go_on` those that are not finished.

        Raises:
            HermesError: there are results, and neither `overwrite` nor `go_on` was asked for; or they are of other
                tasks, so that they cannot be gone on with; or what would be replaced is no result.
        """
        for case in cases:
            self._check_replaceable(case)
        if overwrite:
            return list(cases)
        if not go_on:
            there = [path for case in cases for path in self.files(case.name) if path.exists()]
            there += [path for path in [self.folder / LABELS_FILE] if path.exists()]
            if there:
                raise HermesError(f"{there[0]} exists: choose another folder, or add --continue or --overwrite")
            return list(cases)
        self._check_same_labels()
        measured = read_statistics(self.folder) if self.wishes.statistics else {case.name: {} for case in cases}
        return [
            case
            for case in cases
            if case.name not in measured or not all(path.exists() for path in self.files(case.name))
        ]

    def open(self) -> None:
        """Make the folder and write the tables of labels.

        Raises:
            HermesError: it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self._labels_content(), self.folder / LABELS_FILE)
            if self.wishes.output_type == NIFTI and not self.wishes.per_task:
                write_colour_tables(self.choice.labels, self.folder)
        except OSError as error:
            raise HermesError(f"{self.folder} cannot be written to ({error.strerror}): choose another folder") from None

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

    def _check_same_labels(self) -> None:
        path = self.folder / LABELS_FILE
        if path.exists() and read_json(path, "add --overwrite") != self._labels_content():
            raise HermesError(
                f"{path} is of other tasks, modalities or kinds of files than asked for now: choose another folder, or "
                "add --overwrite instead of --continue"
            )

    def _labels_content(self) -> dict[str, Any]:
        labels = [label.to_json() for label in self.choice.labels]
        if self.wishes.per_task:
            labels = [{**label, "value": 1, "values": [1], "file": self.mask_name(label["name"])} for label in labels]
        return {
            "format_version": FORMAT_VERSION,
            "labels": labels,
            "passes": [one.to_json() for one in self.choice.passes],
        }
