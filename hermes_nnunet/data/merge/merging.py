"""The merge itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.collection import Collection, member_and_own_case
from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.engine import Engine, Pool
from hermes_nnunet.core.images.remarks import Remark, remark_lines
from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.core.nnunet_folders import raw_folder
from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.processes import default_processes
from hermes_nnunet.data.merge.fold_planning import Gap
from hermes_nnunet.data.merge.folds import Fold
from hermes_nnunet.data.merge.linking import Links
from hermes_nnunet.data.merge.planning import MergePlan, plan_merge
from hermes_nnunet.data.merge.record import RECORD_FILE, MergeRecord
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.data.merge.staging import clear_up, files_of, orphans, out_of_date, write_collection, write_part
from hermes_nnunet.data.merge.target import existing_record
from hermes_nnunet.data.merge.workers import image_hashes
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class MemberChanges:
    """Cases of a member that differ from what a collection was made from, or whose label file is gone."""

    added: int
    changed: int
    removed: int
    missing: int


@dataclass(frozen=True)
class MergeResult:
    """What a merge has written, or would write.

    Attributes:
        folder: of the collection, in nnUNet_raw.
        folds: content of splits_final.json.
        lost: cases that each fold does not train on, since they are validated under another name.
        links: what is kept on one side of every fold.
        fold_origins: member -> where its folds come from: "raw", "preprocessed" (its own file there) or "made".
        is_new: the collection was not there before.
        changes: by member, only members with changes; empty for a new collection.
        outdated_files: JSON files of the collection that were missing or had other content; among them the record,
            where a merge was cut short or has left label files of no case.
        dry_run: nothing was written.
        notes: what people should know of the members' files, and of how their images were read.
        warnings: what they should think about.
        gaps: tasks that folds do not train, or not validate.
    """

    folder: Path
    collection: Collection
    folds: list[Fold]
    lost: list[int]
    links: Links
    fold_origins: dict[str, str]
    is_new: bool
    changes: dict[str, MemberChanges]
    outdated_files: list[str]
    dry_run: bool
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def is_up_to_date(self) -> bool:
        """There was nothing to do."""
        return not (self.is_new or self.changes or self.outdated_files)


@dataclass(frozen=True)
class PartOfMerge:
    """What `merge_part` has written: its cases, and what people should know of their files."""

    folder: Path
    cases: list[str]
    notes: tuple[str, ...]


def merge(
    specification: MergeSpecification,
    *,
    processes: int | None = None,
    dry_run: bool = False,
    engine: Engine | None = None,
) -> MergeResult:
    """Merge data sets of nnUNet_raw into a collection there, or bring the same collection up to date.

    Images are referenced, label files rewritten. Only label files that are missing or whose sources have changed are
    written.

    Args:
        processes: that read and write cases at the same time; by default one a core.
        dry_run: check all but the images, and write nothing.
        engine: works on the cases in place of these processes.

    Raises:
        HermesError: the specification or the members' data do not allow the merge; nothing has been written then.
    """
    engine = engine or _pool(processes)
    plan = plan_merge(specification, raw_folder())
    record = existing_record(specification, plan)
    pending, removed, changes = _compare(plan, record)
    known = _known_hashes(plan, record, pending)
    # Collections of releases that did not compare images have no hashes.
    read = {*known, *pending}
    unread = {name: case.images for name, case in plan.cases.items() if name not in read}
    if unread and not dry_run:
        folders = Folders(tuple({case.member.folder for case in plan.cases.values()}))
        known |= image_hashes(unread, specification.spacing_from, engine, folders)
    plan = plan.with_hashes(known)
    outdated_files = out_of_date(plan)
    if record is not None and (orphans(plan) or not record.complete):
        outdated_files.append(RECORD_FILE)
    remarks: tuple[Remark, ...] = ()
    to_do = bool(pending or removed or outdated_files or unread)
    if not dry_run:
        clear_up(plan, goes_on=to_do)
    if to_do and not dry_run:
        written, remarks = write_collection(plan, record, pending, engine)
        if written.folds.folds != plan.folds.folds and SPLITS_FILE not in outdated_files:
            outdated_files.insert(0, SPLITS_FILE)
        plan = written
    return MergeResult(
        folder=plan.folder,
        collection=plan.collection,
        folds=plan.folds.folds,
        lost=plan.folds.lost,
        links=plan.folds.links,
        fold_origins=plan.fold_origins,
        is_new=record is None,
        changes={} if record is None else changes,
        outdated_files=outdated_files,
        dry_run=dry_run,
        notes=(*plan.notes, *remark_lines(remarks)),
        warnings=plan.warnings,
        gaps=plan.folds.gaps,
    )


def merge_part(
    specification: MergeSpecification, part: Part, *, processes: int | None = None, engine: Engine | None = None
) -> PartOfMerge:
    """Write the label files of a part of the cases for `merge`, which takes what all parts have written.

    Parts may be written at the same time, on several machines that share nnUNet_raw.

    Raises:
        HermesError: as of `merge`.
    """
    engine = engine or _pool(processes)
    plan = plan_merge(specification, raw_folder())
    pending, _, _ = _compare(plan, existing_record(specification, plan))
    cases, remarks = write_part(plan, pending, part, engine)
    return PartOfMerge(plan.folder, cases, tuple(remark_lines(remarks)))


def _pool(processes: int | None) -> Pool:
    if processes is not None and processes < 1:
        raise HermesError(f"{processes} processes: give at least 1")
    return Pool(processes or default_processes())


def _known_hashes(plan: MergePlan, record: MergeRecord | None, pending: Iterable[str]) -> dict[str, list[str]]:
    """Hashes of the images of cases that have not changed since an earlier merge read them."""
    if record is None:
        return {}
    changed = set(pending)
    return {case: record.hashes[case] for case in plan.cases if case in record.hashes and case not in changed}


def _compare(plan: MergePlan, record: MergeRecord | None) -> tuple[list[str], list[str], dict[str, MemberChanges]]:
    """Cases to write, cases to remove, and both counted by member."""
    if record is None:
        return list(plan.cases), [], {}
    added, changed, missing = [], [], []
    for name, case in plan.cases.items():
        if name not in record.cases:
            added.append(name)
        elif not record.says_the_same(plan.record, name, case.member.name):
            changed.append(name)
        elif not all(path.is_file() for path in files_of(plan.folder, plan, name)):
            missing.append(name)
    removed = [name for name in record.cases if name not in plan.cases]
    counts = {
        member: MemberChanges(*(sum(member_and_own_case(name)[0] == member for name in names) for names in groups))
        for groups in [(added, changed, removed, missing)]
        for member in plan.collection.members
    }
    changes = {member: count for member, count in counts.items() if count != MemberChanges(0, 0, 0, 0)}
    return [*added, *changed, *missing], removed, changes
