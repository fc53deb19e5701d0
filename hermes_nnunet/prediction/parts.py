"""Records of the parts of a prediction, which jobs that do not know each other have written into one folder."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from hermes_nnunet.core.locks import locked_at_once
from hermes_nnunet.core.parts import Part
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.labels_file import LABELS_FILE, LabelsFile
from hermes_nnunet.prediction.run_record import runs_in, write_runs
from hermes_nnunet.prediction.statistics import read_statistics, write_statistics

_PREFIX = ".part-"
_LOCK = ".lock"


def records_of_part(folder: Path, part: Part | None) -> Path:
    """Where labels.json, run.json and the statistics of a part lie: beside those of others, until they are gathered."""
    return folder if part is None else folder / f"{_PREFIX}{part.name}"


@contextmanager
def writing_part(folder: Path, part: Part | None) -> Iterator[None]:
    """Within this block nobody else writes the same part, nor gathers it.

    Raises:
        HermesError: somebody does.
    """
    if part is None:
        yield
        return
    records = records_of_part(folder, part)
    try:
        records.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HermesError(f"{records} cannot be made ({error.strerror}): choose another folder") from None
    try:
        with _locked(records):
            yield
    finally:
        if not (records / LABELS_FILE).exists():
            _remove_empty(records)


def _remove_empty(records: Path) -> None:
    """Leave nothing of a part that was refused before it began."""
    (records / _LOCK).unlink(missing_ok=True)
    for folder in (records, records.parent):
        with suppress(OSError):
            folder.rmdir()


def records_of_parts(folder: Path) -> list[Path]:
    """Where the records of all parts lie, those that were written last at the end."""

    def written(records: Path) -> tuple[float, str]:
        try:
            return (records / LABELS_FILE).stat().st_mtime_ns, records.name
        except FileNotFoundError:
            return 0, records.name

    return sorted(folder.glob(f"{_PREFIX}*-of-*"), key=written)


def gather(folder: Path, *, overwrite: bool = False) -> list[str]:
    """Make the records of all parts those of the folder; what is known of a case in a part is newer.

    Args:
        overwrite: forget parts that are of other tasks than the folder, or damaged.

    Returns:
        The cases that were gathered.

    Raises:
        HermesError: a part is still being written, or is of other tasks than the folder.
    """
    gathered: dict[str, None] = {}
    for records in records_of_parts(folder):
        with _locked(records):
            try:
                gathered.update(dict.fromkeys(_gather(records, folder)))
            except HermesError:
                if not overwrite:
                    raise
                _disown(records, folder)
            shutil.rmtree(records)
    return list(gathered)


def _gather(records: Path, folder: Path) -> list[str]:
    labels, earlier = LabelsFile.read(records), LabelsFile.read(folder)
    if labels is None:
        return []
    cases = [*labels.cases]
    if earlier is not None and not earlier.says_the_same(labels):
        raise HermesError(
            f"{records / LABELS_FILE} is of other tasks, modalities or kinds of files than {folder / LABELS_FILE}: "
            "remove one of them, or add --overwrite instead of --continue"
        )
    before = read_statistics(folder)
    stay = before if earlier is None else labels.still_true(earlier, before)
    measured = {**stay, **read_statistics(records)}
    if measured != before:
        write_statistics(measured, folder)
    runs = _joined(runs_in(folder), runs_in(records))
    if runs:  # a part may have been killed before it wrote its own
        write_runs(runs, folder)
    if earlier is not None:
        labels.keep_cases_of(earlier)
    # Last: it says that all is there.
    labels.write(folder)
    return cases


def _disown(records: Path, folder: Path) -> None:
    """Forget what made the cases of a part that cannot be gathered, as far as the two can be read."""
    with suppress(HermesError):
        labels, earlier = LabelsFile.read(records), LabelsFile.read(folder)
        if labels is not None and earlier is not None:
            earlier.disown(labels)
            earlier.write(folder)


def _joined(before: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of both, each with the cases that it was the last to write."""
    written = {case for run in runs for case in run["cases"]}
    kept = [
        {**run, "cases": {case: told for case, told in run["cases"].items() if case not in written}} for run in before
    ]
    return [*(run for run in kept if run["cases"]), *runs]


def _locked(records: Path) -> AbstractContextManager[None]:
    return locked_at_once(records / _LOCK, f"{records} is being written by another process: wait for its end")
