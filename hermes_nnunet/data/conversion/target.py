"""The folder of the nnU-Net data set that is written, and what tells a conversion that was cut short."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.core.files import folder_written_beside, holds_files, read_json, write_json
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.core.nnunet_folders import datasets_with_id
from hermes_nnunet.data.conversion.converter import Converter, SourceCase
from hermes_nnunet.data.conversion.parts import Parts
from hermes_nnunet.data.conversion.volumes import FILE_ENDING
from hermes_nnunet.data.conversion.writing import CaseTask
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import Text, shown, versioned
from hermes_nnunet.version import __version__

RECORD_FILE = "conversion.json"
DATASET_FILE = "dataset.json"
FORMAT_VERSION = 1
_PARTS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")


@dataclass(frozen=True)
class Settings:
    """What decides which files a conversion writes."""

    converter: str
    converter_version: str
    source: str
    all_training: bool
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    options: dict[str, list[str]]
    spacing_from: str | None

    @classmethod
    def of(
        cls,
        converter: Converter,
        source: Path,
        all_training: bool,
        options: Mapping[str, Sequence[str]],
        spacing_from: str | None,
    ) -> "Settings":
        return cls(
            converter.name,
            __version__,
            str(source.resolve()),
            all_training,
            converter.channels,
            converter.labels,
            {name: list(words) for name, words in options.items()},
            spacing_from,
        )


class TargetFolder:
    """nnUNet_raw/DatasetXXX_Name and the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check_free(self, raw: Path, number: int, settings: Settings) -> None:
        """Raise HermesError where the id is taken by something else than an earlier call of the same conversion."""
        others = [name for name in datasets_with_id(raw, number) if name != self.path.name]
        if others:
            raise HermesError(f"the id {number} belongs to {raw / others[0]}: choose another -d")
        if not holds_files(self.path):
            return
        remedy = f"choose another -d, or remove {self.path}"
        path = self.path / RECORD_FILE
        record = versioned(dict[Text, Any], read_json(path, remedy), FORMAT_VERSION, str(path), remedy)
        for key, value in _as_json(settings).items():
            if record.get(key) != value:
                raise HermesError(
                    f"{self.path} was made with {key} {shown(record.get(key))}, not {shown(value)}: {remedy}"
                )

    def begin(self, settings: Settings, tasks: Sequence[CaseTask], *, complete: bool) -> None:
        """Make the folders, take away what a killed conversion left half-done, and record the settings.

        Unless the data set is complete, it has no dataset.json from here to the end.

        Raises:
            HermesError: the folder holds files of cases that are not among `tasks`, or cannot be written.
        """
        wanted = {path for task in tasks for path in task.outputs}
        record = {"format_version": FORMAT_VERSION, **_as_json(settings)}
        try:
            remove_leftovers(self.path.parent)
            if not holds_files(self.path):
                # With the record in it from its first moment: whatever follows, the folder is known to be ours.
                with folder_written_beside(self.path) as folder:
                    write_json(record, folder / RECORD_FILE)
            for folder in sorted({path.parent for path in wanted}):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HermesError(
                f"{self.path} cannot be made ({error.strerror}): make {self.path.parent} writable"
            ) from None
        for folder in (self.path, *(self.path / part for part in _PARTS)):
            remove_leftovers(folder)
        present = {path for part in _PARTS for path in self.path.glob(f"{part}/[!.]*{FILE_ENDING}")}
        surplus = sorted(present - wanted)
        if surplus:
            raise HermesError(
                f"{surplus[0]} is of a case that the source does not hold any more: remove it, or all of {self.path}"
            )
        if not complete:
            (self.path / DATASET_FILE).unlink(missing_ok=True)
        write_json(record, self.path / RECORD_FILE)

    def tasks(self, converter: Converter, parts: Parts, *, link: bool) -> list[CaseTask]:
        """What is to be written for every case."""
        return [
            *(self._task(converter, case, "Tr", link) for case in parts.train),
            *(self._task(converter, case, "Ts", link) for case in parts.test),
        ]

    def _task(self, converter: Converter, case: SourceCase, part: str, link: bool) -> CaseTask:
        images = self.path / f"images{part}"
        return CaseTask(
            case=case,
            images=tuple(images / f"{case.name}_{channel:04d}{FILE_ENDING}" for channel in range(len(case.images))),
            label=None if case.label is None else self.path / f"labels{part}" / f"{case.name}{FILE_ENDING}",
            values=converter.label_values,
            may_be_empty=converter.may_be_empty,
            link=link,
        )

    def finish(self, dataset_json: Any, folds: Any, settings: Settings, left_out: Iterable[tuple[str, str]]) -> None:
        """Write the JSON files, dataset.json last: with it the data set is complete."""
        record = {"format_version": FORMAT_VERSION, **_as_json(settings), "left_out": dict(left_out)}
        write_json(record, self.path / RECORD_FILE)
        write_json(folds, self.path / SPLITS_FILE)
        write_json(dataset_json, self.path / DATASET_FILE)


def _as_json(settings: Settings) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
