"""The folder of the nnU-Net data set that is written, and what tells a conversion that was cut short."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.core.files import folder_written_beside, holds_files, read_json, write_json
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.core.nnunet_folders import datasets_with_id
from hermes_nnunet.data.conversion.converter import Converter, SourceCase
from hermes_nnunet.data.conversion.parts import Parts
from hermes_nnunet.data.conversion.volumes import FILE_ENDING
from hermes_nnunet.data.conversion.writing import CaseTask, digest_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import WITH_MORE, Text, shown, versioned
from hermes_nnunet.version import __version__

RECORD_FILE = "conversion.json"
DATASET_FILE = "dataset.json"
FORMAT_VERSION = 1
_PARTS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
_MADE_FROM: Final = "made_from"


class _Record(TypedDict):
    """conversion.json, beside what is compared with the settings of a call."""

    # Case -> digest of what its files were made from. Releases that compared times only wrote none.
    made_from: NotRequired[dict[Text, Text]]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


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
        record: Mapping[str, object] = self._record()
        for key, value in _as_json(settings).items():
            if record.get(key) != value:
                raise HermesError(
                    f"{self.path} was made with {key} {shown(record.get(key))}, not {shown(value)}: {self._remedy}"
                )

    def pending(self, tasks: Sequence[CaseTask]) -> list[CaseTask]:
        """Those of the tasks whose files are not there, or were made from something else, or nobody knows from what.

        Raises:
            HermesError: the record of an earlier call cannot be read.
        """
        made_from = self._record().get(_MADE_FROM, {}) if holds_files(self.path) else {}
        return [task for task in tasks if made_from.get(task.case.name) != task.made_from or not task.is_written()]

    def begin(self, settings: Settings, tasks: Sequence[CaseTask], pending: Sequence[CaseTask]) -> None:
        """Make the folders, take away what is half-done or was made from something else, and record what is made.

        Unless nothing is pending, the data set has no dataset.json from here to the end.

        Raises:
            HermesError: the folder holds files of cases that are not among `tasks`, or cannot be written.
        """
        wanted = {path for task in tasks for path in task.outputs}
        record = _as_record(settings, tasks)
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
        if pending:
            (self.path / DATASET_FILE).unlink(missing_ok=True)
        for path in (path for task in pending for path in task.outputs):
            path.unlink(missing_ok=True)
        # From here on the files of a case in this folder were made from what this record says.
        write_json(record, self.path / RECORD_FILE)

    def tasks(self, converter: Converter, source: Path, parts: Parts, *, link: bool) -> list[CaseTask]:
        """What is to be written for every case of the data set in the folder `source`."""
        return [
            *(self._task(converter, source, case, "Tr", link) for case in parts.train),
            *(self._task(converter, source, case, "Ts", link) for case in parts.test),
        ]

    def _task(self, converter: Converter, source: Path, case: SourceCase, part: str, link: bool) -> CaseTask:
        images = self.path / f"images{part}"
        return CaseTask(
            case=case,
            made_from=digest_of(case, converter.label_values, source),
            images=tuple(images / f"{case.name}_{channel:04d}{FILE_ENDING}" for channel in range(len(case.images))),
            label=None if case.label is None else self.path / f"labels{part}" / f"{case.name}{FILE_ENDING}",
            values=converter.label_values,
            may_be_empty=converter.may_be_empty,
            link=link,
        )

    def finish(
        self,
        dataset_json: Any,
        folds: Any,
        settings: Settings,
        tasks: Sequence[CaseTask],
        left_out: Iterable[tuple[str, str]],
    ) -> None:
        """Write the JSON files, dataset.json last: with it the data set is complete."""
        write_json({**_as_record(settings, tasks), "left_out": dict(left_out)}, self.path / RECORD_FILE)
        write_json(folds, self.path / SPLITS_FILE)
        write_json(dataset_json, self.path / DATASET_FILE)

    @property
    def _remedy(self) -> str:
        return f"choose another -d, or remove {self.path}"

    def _record(self) -> _Record:
        path = self.path / RECORD_FILE
        return versioned(_Record, read_json(path, self._remedy), FORMAT_VERSION, str(path), self._remedy)


def _as_record(settings: Settings, tasks: Sequence[CaseTask]) -> dict[str, Any]:
    made_from = {task.case.name: task.made_from for task in tasks}
    return {"format_version": FORMAT_VERSION, **_as_json(settings), _MADE_FROM: made_from}


def _as_json(settings: Settings) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
