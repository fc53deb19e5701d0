"""Write a collection so that a kill or an error at any moment leaves a whole one, or none."""

import glob
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import CASE_SEPARATOR
from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.engine import Engine
from hermes_nnunet.core.files import holds_json, write_json
from hermes_nnunet.core.images.remarks import Remark
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.locks import locked_at_once
from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.core.nnunet_folders import dataset_id
from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.wording import problem_lines
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, CaseReport
from hermes_nnunet.data.merge.planning import FILE_ENDING, IMAGES_FOLDER, LABELS_FOLDER, MergePlan
from hermes_nnunet.data.merge.record import RECORD_FILE, MergeRecord, read_record
from hermes_nnunet.data.merge.workers import rewrite_cases
from hermes_nnunet.errors import HermesError

DATASET_FILE = "dataset.json"
LOCK_FILE = ".lock"
# In the staging folder only: the merge record has them in the end.
HASHES_FOLDER = "hashes"
_MERGING = ".merging"


def label_file(folder: Path, case: str) -> Path:
    """Label file of a case in the folder of a collection."""
    return folder / LABELS_FOLDER / f"{case}{FILE_ENDING}"


def out_of_date(plan: MergePlan) -> list[str]:
    """Those of dataset.json and splits_final.json that the collection has not, or with other content."""
    return [name for name, content in _json_files(plan).items() if not holds_json(plan.folder / name, content)]


def files_of(folder: Path, plan: MergePlan, case: str) -> list[Path]:
    """All files of a case in the folder of a collection: its label file, and copies of images where it has some."""
    return [label_file(folder, case), *(folder / IMAGES_FOLDER / name for name in plan.cases[case].copies.values())]


def orphans(plan: MergePlan) -> list[Path]:
    """Label files and copies of images in the collection's folder that are of no case."""
    of_cases = {path for case in plan.cases for path in files_of(plan.folder, plan, case)}
    there = [
        *(plan.folder / LABELS_FOLDER).glob(f"[!.]*{FILE_ENDING}"),
        *(plan.folder / IMAGES_FOLDER).glob(f"[!.]*{CASE_SEPARATOR}*_[0-9][0-9][0-9][0-9]{FILE_ENDING}"),
    ]
    return sorted(path for path in there if path not in of_cases)


def write_collection(
    plan: MergePlan, record: MergeRecord | None, pending: Sequence[str], engine: Engine
) -> tuple[MergePlan, tuple[Remark, ...]]:
    """Write the files of `pending` cases, delete those of no case, and write the JSON files.

    Everything is made in a hidden folder beside and moved at the end. A merge that was killed goes on from there, and
    with what `write_part` has left.

    Args:
        record: of the collection; None where there is none yet.

    Returns:
        The plan, with what the content of the pending cases' images changes in its folds, and remarks on how images
        were read.

    Raises:
        HermesError: members' files have problems; nothing is left behind then.
    """
    staging = _staging_of(plan)
    _make(staging)
    with _locked(staging):
        missing = _take_parts(plan, _prepare(staging, plan, pending))
        reports = _rewrite(plan, missing, staging, engine)
        plan = plan.with_hashes({**plan.record.hashes, **_written_hashes(staging, plan, pending)})
        _ = plan.folds  # may be refused, and is before anything is moved
        if record is not None:
            _move_into(staging, plan, record, pending)
        else:
            plan.record.write(staging)
            shutil.rmtree(staging / HASHES_FOLDER)
            for name, content in _json_files(plan).items():
                write_json(content, staging / name)
            (staging / LOCK_FILE).unlink()
            os.rename(staging, plan.folder)
    return plan, _remarks(reports)


def write_part(
    plan: MergePlan, pending: Sequence[str], part: Part, engine: Engine
) -> tuple[list[str], tuple[Remark, ...]]:
    """Write those files of `pending` cases that are of a part, into a hidden folder for `write_collection`.

    Returns:
        The cases of the part, and remarks on how their images were read.

    Raises:
        HermesError: as of `write_collection`.
    """
    # Parts of all cases, not of the pending ones: whatever was done before, no two parts have one in common.
    own = {case for names in part.of(_cases_of_one_label(plan, plan.cases)) for case in names}
    own_pending = [case for case in pending if case in own]
    staging = _staging_of(plan, part)
    _make(staging)
    with _locked(staging):
        reports = _rewrite(plan, _prepare(staging, plan, own_pending), staging, engine)
    return own_pending, _remarks(reports)


def clear_up(plan: MergePlan, *, goes_on: bool) -> None:
    """Remove what killed merges into the collection's id have left.

    Args:
        goes_on: keep what this merge can go on with.
    """
    for folder in (plan.folder, plan.folder / LABELS_FOLDER, plan.folder / IMAGES_FOLDER):
        remove_leftovers(folder)
    number = dataset_id(plan.folder.name)
    own = _staging_of(plan).name
    for staging in plan.folder.parent.glob(f".Dataset{number:03d}_*{_MERGING}*"):
        of_this_merge = staging.name == own or staging.name.startswith(f"{own}-")
        if not staging.is_symlink() and not (goes_on and of_this_merge):
            with suppress(HermesError), _locked(staging):
                shutil.rmtree(staging)


def _staging_of(plan: MergePlan, part: Part | None = None) -> Path:
    return plan.folder.with_name(f".{plan.folder.name}{_MERGING}{'' if part is None else f'-{part.name}'}")


def _take_parts(plan: MergePlan, missing: Sequence[str]) -> list[str]:
    """Move what parts have written into the staging folder; the cases that are missing even so.

    Raises:
        HermesError: a part is still being written.
    """
    staging, left = _staging_of(plan), list(missing)
    for folder in sorted(staging.parent.glob(f"{glob.escape(staging.name)}-*-of-*")):
        if folder.is_symlink():
            continue
        with _locked(folder):
            finished = _finished_in(folder, plan, left)
            for case in finished:
                for written, place in zip(_own_files(folder, plan, case), _own_files(staging, plan, case), strict=True):
                    os.replace(written, place)
            left = [case for case in left if case not in finished]
            shutil.rmtree(folder)
    return left


def _rewrite(plan: MergePlan, cases: Sequence[str], staging: Path, engine: Engine) -> list[CaseReport]:
    """Write the files of cases into a staging folder, which goes if there are problems with the members' files."""
    folders = Folders(tuple(sorted({case.member.folder for case in plan.cases.values()})), staging)
    reports = rewrite_cases(_case_files(plan, cases, staging), engine, folders)
    problems = [problem for report in reports for problem in report.problems]
    if problems:
        shutil.rmtree(staging)
        raise HermesError(problem_lines(problems, "nothing was written"))
    return reports


def _remarks(reports: Iterable[CaseReport]) -> tuple[Remark, ...]:
    return tuple(remark for report in reports for remark in report.remarks)


def _json_files(plan: MergePlan) -> dict[str, Any]:
    """In the order of writing: dataset.json last, since with it a collection is complete."""
    return {SPLITS_FILE: plan.folds.folds, DATASET_FILE: plan.dataset_json}


def _make(staging: Path) -> None:
    if staging.is_symlink():
        raise HermesError(f"{staging} is a link, which a merge would write through: remove it")
    try:
        staging.mkdir(exist_ok=True)
    except OSError as error:
        raise HermesError(
            f"{staging} cannot be made ({error.strerror}): make {staging.parent} writable, or link the data sets into "
            "a folder of your own and set nnUNet_raw to it"
        ) from None


def _locked(staging: Path) -> AbstractContextManager[None]:
    """Only one merge at a time has the staging folder."""
    return locked_at_once(staging / LOCK_FILE, f"another merge is writing {staging}: run this one when it has ended")


def _prepare(staging: Path, plan: MergePlan, pending: Sequence[str]) -> list[str]:
    """Keep what a killed merge left in the staging folder and still holds, and say which cases it lacks."""
    folders = [staging / part for part in (*_parts(plan), HASHES_FOLDER)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    finished = _finished_in(staging, plan, pending)
    kept = {path for case in finished for path in _own_files(staging, plan, case)}
    kept |= {staging / LOCK_FILE, staging / RECORD_FILE, *folders}
    # Nobody else is writing here, whatever a temporary name says.
    for path in [*staging.iterdir(), *(path for folder in folders for path in folder.iterdir())]:
        if path in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    # From here on a label file in this folder was made from what this record says.
    plan.record.write(staging)
    return [case for case in pending if case not in finished]


def _finished_in(staging: Path, plan: MergePlan, cases: Iterable[str]) -> set[str]:
    """Cases whose files in a staging folder are whole, and made from what they are made from now."""
    try:
        left = read_record(staging, "begin anew")
    except HermesError:
        return set()
    return {
        case
        for case in cases
        if left.says_the_same(plan.record, case, plan.cases[case].member.name)
        and all(path.is_file() for path in _own_files(staging, plan, case))
    }


def _own_files(staging: Path, plan: MergePlan, case: str) -> list[Path]:
    """All files of a case in a staging folder."""
    return [*files_of(staging, plan, case), *_hash_files(staging, plan, case)]


def _parts(plan: MergePlan) -> list[str]:
    """Folders of a collection that hold files of cases."""
    copies = any(case.copies for case in plan.cases.values())
    return [LABELS_FOLDER, IMAGES_FOLDER] if copies else [LABELS_FOLDER]


def _case_files(plan: MergePlan, cases: Sequence[str], staging: Path) -> list[CaseFiles]:
    return [
        CaseFiles(
            images=tuple(image for case in names for image in plan.cases[case].images),
            label=plan.cases[names[0]].source.label,
            outputs=tuple(label_file(staging, case) for case in names),
            values=_values_of_member(plan, plan.cases[names[0]].member.name),
            not_annotated=plan.cases[names[0]].not_annotated,
            dtype=plan.label_dtype,
            hashes=tuple(path for case in names for path in _hash_files(staging, plan, case)),
            spacing_from=plan.spacing_from,
            cts=frozenset(image for case in names for image in plan.cases[case].cts),
            copies={
                image: staging / IMAGES_FOLDER / copy
                for case in names
                for image, copy in plan.cases[case].copies.items()
            },
        )
        for names in _cases_of_one_label(plan, cases)
    ]


def _cases_of_one_label(plan: MergePlan, cases: Iterable[str]) -> list[list[str]]:
    """An entry for each case of a member, so that a label file shared by several is read once."""
    by_label: dict[tuple[object, ...], list[str]] = {}
    for case in cases:
        member, source = plan.cases[case].member.name, plan.cases[case].source
        read = source.images if source.label is None else (source.label, source.annotated)
        # Other members may have other values for the same file.
        by_label.setdefault((member, *read), []).append(case)
    return list(by_label.values())


def _values_of_member(plan: MergePlan, member: str) -> dict[int, int]:
    return {int(own): value for own, value in plan.record.values.get(member, {}).items()}


def _hash_files(staging: Path, plan: MergePlan, case: str) -> list[Path]:
    """Where the hash of each of a case's images is written."""
    return [staging / HASHES_FOLDER / f"{index}_{case}" for index in range(len(plan.cases[case].images))]


def _written_hashes(staging: Path, plan: MergePlan, cases: Iterable[str]) -> dict[str, list[str]]:
    return {case: [path.read_text() for path in _hash_files(staging, plan, case)] for case in cases}


def _move_into(staging: Path, plan: MergePlan, record: MergeRecord, pending: Sequence[str]) -> None:
    """Change a collection; its record says so from the first change to the last."""
    changed = set(record.cases).difference(plan.cases).union(pending)
    unchanged = {case: stamps for case, stamps in record.cases.items() if case not in changed}
    replace(record, cases=unchanged, complete=False).write(plan.folder)
    for part in _parts(plan):
        (plan.folder / part).mkdir(exist_ok=True)
    for case in pending:
        for written, place in zip(files_of(staging, plan, case), files_of(plan.folder, plan, case), strict=True):
            os.replace(written, place)
    for name, content in _json_files(plan).items():
        if not holds_json(plan.folder / name, content):
            write_json(content, plan.folder / name)
    for path in orphans(plan):
        path.unlink()
    plan.record.write(plan.folder)
    shutil.rmtree(staging)
