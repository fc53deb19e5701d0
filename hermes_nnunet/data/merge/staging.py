"""Write a collection so that a kill or an error at any moment leaves a whole one, or none."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.images.remarks import Remark
from hermes_nnunet.core.wording import problem_lines
from hermes_nnunet.data.merge.case_rewriting import CaseFiles
from hermes_nnunet.data.merge.folds import SPLITS_FILE
from hermes_nnunet.data.merge.planning import FILE_ENDING, IMAGES_FOLDER, LABELS_FOLDER, MergePlan
from hermes_nnunet.data.merge.record import read_record
from hermes_nnunet.data.merge.workers import rewrite_cases
from hermes_nnunet.errors import HermesError

DATASET_FILE = "dataset.json"
LOCK_FILE = ".lock"
# In the staging folder only: the merge record has them in the end.
HASHES_FOLDER = "hashes"


def label_file(folder: Path, case: str) -> Path:
    """Label file of a case in the folder of a collection."""
    return folder / LABELS_FOLDER / f"{case}{FILE_ENDING}"


def out_of_date(plan: MergePlan) -> list[str]:
    """Those of dataset.json and splits_final.json that the collection has not, or with other content."""
    return [name for name, content in _json_files(plan).items() if not _holds(plan.folder / name, content)]


def files_of(folder: Path, plan: MergePlan, case: str) -> list[Path]:
    """All files of a case in the folder of a collection: its label file, and copies of images where it has some."""
    return [label_file(folder, case), *(folder / IMAGES_FOLDER / name for name in plan.cases[case].copies.values())]


def write_collection(
    plan: MergePlan, pending: Sequence[str], removed: Iterable[str], processes: int
) -> tuple[MergePlan, tuple[Remark, ...]]:
    """Write the label files of `pending` cases, delete those of `removed` ones, and write the JSON files.

    Everything is made in a hidden folder beside and moved at the end. A merge that was killed goes on from there.

    Returns:
        The plan, with what the content of the pending cases' images changes in its folds, and remarks on how images
        were read.

    Raises:
        HermesError: members' files have problems; nothing is left behind then.
    """
    staging = plan.folder.with_name(f".{plan.folder.name}.merging")
    _make(staging)
    with _locked(staging):
        missing = _prepare(staging, plan, pending)
        reports = rewrite_cases(_case_files(plan, missing, staging), processes)
        problems = [problem for report in reports for problem in report.problems]
        if problems:
            shutil.rmtree(staging)
            raise HermesError(problem_lines(problems, "nothing was written"))
        plan = plan.with_hashes({**plan.record.hashes, **_written_hashes(staging, plan, pending)})
        _ = plan.folds  # may be refused, and is before anything is moved
        if plan.folder.exists():
            _move_into(staging, plan, pending, removed)
        else:
            plan.record.write(staging)
            shutil.rmtree(staging / HASHES_FOLDER)
            for name, content in _json_files(plan).items():
                write_json(content, staging / name)
            (staging / LOCK_FILE).unlink()
            os.rename(staging, plan.folder)
    return plan, tuple(remark for report in reports for remark in report.remarks)


def _json_files(plan: MergePlan) -> dict[str, Any]:
    """In the order of writing: dataset.json last, since with it a collection is complete."""
    return {SPLITS_FILE: plan.folds.folds, DATASET_FILE: plan.dataset_json}


def _make(staging: Path) -> None:
    try:
        staging.mkdir(exist_ok=True)
    except OSError as error:
        raise HermesError(
            f"{staging} cannot be made ({error.strerror}): make {staging.parent} writable, or link the data sets into "
            "a folder of your own and set nnUNet_raw to it"
        ) from None


@contextmanager
def _locked(staging: Path) -> Iterator[None]:
    """Only one merge at a time has the staging folder; the lock of one that was killed is free."""
    lock = FileLock(staging / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise HermesError(f"another merge is writing {staging}: run this one when it has ended") from None
    try:
        yield
    finally:
        lock.release()


def _prepare(staging: Path, plan: MergePlan, pending: Sequence[str]) -> list[str]:
    """Keep what a killed merge left in the staging folder and still holds, and say which cases it lacks."""
    for part in (*_parts(plan), HASHES_FOLDER):
        (staging / part).mkdir(exist_ok=True)
    try:
        left = read_record(staging, "begin anew")
    except HermesError:
        finished = set()
    else:
        finished = {
            case
            for case in pending
            if left.says_the_same(plan.record, case, plan.cases[case].member.name)
            and all(path.is_file() for path in (*files_of(staging, plan, case), *_hash_files(staging, plan, case)))
        }
    kept = {path for case in finished for path in files_of(staging, plan, case)}
    for part in _parts(plan):
        for path in (staging / part).iterdir():
            if path not in kept:
                path.unlink()
    # From here on a label file in this folder was made from what this record says.
    plan.record.write(staging)
    return [case for case in pending if case not in finished]


def _parts(plan: MergePlan) -> list[str]:
    """Folders of a collection that hold files of cases."""
    copies = any(case.copies for case in plan.cases.values())
    return [LABELS_FOLDER, IMAGES_FOLDER] if copies else [LABELS_FOLDER]


def _case_files(plan: MergePlan, cases: Sequence[str], staging: Path) -> list[CaseFiles]:
    """One entry for each case of a member, so that a label file shared by several is read once."""
    by_label: dict[Path, list[str]] = {}
    for case in cases:
        by_label.setdefault(plan.cases[case].source.label, []).append(case)
    return [
        CaseFiles(
            images=tuple(image for case in names for image in plan.cases[case].images),
            label=label,
            outputs=tuple(label_file(staging, case) for case in names),
            values={int(own): value for own, value in plan.record.values[plan.cases[names[0]].member.name].items()},
            dtype=plan.label_dtype,
            hashes=tuple(path for case in names for path in _hash_files(staging, plan, case)),
            spacing_from=plan.spacing_from,
            copies={
                image: staging / IMAGES_FOLDER / copy
                for case in names
                for image, copy in plan.cases[case].copies.items()
            },
        )
        for label, names in by_label.items()
    ]


def _hash_files(staging: Path, plan: MergePlan, case: str) -> list[Path]:
    """Where the hash of each of a case's images is written."""
    return [staging / HASHES_FOLDER / f"{index}_{case}" for index in range(len(plan.cases[case].images))]


def _written_hashes(staging: Path, plan: MergePlan, cases: Iterable[str]) -> dict[str, list[str]]:
    return {case: [path.read_text() for path in _hash_files(staging, plan, case)] for case in cases}


def _move_into(staging: Path, plan: MergePlan, pending: Iterable[str], removed: Iterable[str]) -> None:
    for part in _parts(plan):
        (plan.folder / part).mkdir(exist_ok=True)
    for case in pending:
        for written, place in zip(files_of(staging, plan, case), files_of(plan.folder, plan, case), strict=True):
            os.replace(written, place)
    plan.record.write(plan.folder)
    for name, content in _json_files(plan).items():
        if not _holds(plan.folder / name, content):
            write_json(content, plan.folder / name)
    for case in removed:
        label_file(plan.folder, case).unlink(missing_ok=True)
        for copy in (plan.folder / IMAGES_FOLDER).glob(f"{case}_[0-9][0-9][0-9][0-9]{FILE_ENDING}"):
            copy.unlink()
    shutil.rmtree(staging)


def _holds(path: Path, content: Any) -> bool:
    try:
        present = read_json(path, "write it anew")
    except HermesError:
        return False
    # As JSON stores it, for tuples become lists.
    return present == json.loads(json.dumps(content))
