"""What a merge tells on the screen."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.annotated_cases import annotated_cases, annotation_lines
from hermes_nnunet.core.nnunet_folders import dataset_id
from hermes_nnunet.core.overlaps import may_overlap, members_of_tasks, overlap_lines
from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.exclusion import tasks_of_unknown_names
from hermes_nnunet.data.merge.fold_planning import Gap
from hermes_nnunet.data.merge.merging import MemberChanges, MergeResult, PartOfMerge

_LISTED_TASKS = 8


def print_result(result: MergeResult, console: Console) -> None:
    """Print the summary table, what is known of where tasks are not, what was done, and the command that comes next."""
    console.print(summary_table(result))
    known = [] if result.is_up_to_date else knowledge_lines(result.collection)
    for line in (*known, *result_lines(result)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def print_part(written: PartOfMerge, part: Part, console: Console) -> None:
    """Print what was done, and what comes next."""
    count = len(written.cases)
    for line in (
        *written.notes,
        f"part {part} of {written.folder}: {count} case{'s' * (count != 1)} written; when all parts are, run the merge "
        "again without --part",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def summary_table(result: MergeResult) -> Table:
    """Members with their cases, patients, modalities, tasks, share of training patches and folds."""
    collection = result.collection
    sizes = f"{len(collection.cases)} cases, {len(collection.tasks)} tasks, {len(result.folds)} folds"
    # Narrow, so that a terminal of 80 columns leaves room for the tasks.
    table = Table(title=f"{result.folder.name}: {sizes}", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("member", no_wrap=True)
    table.add_column("data set", justify="right", max_width=4)
    table.add_column("cases", justify="right", no_wrap=True)
    table.add_column("patients", justify="right", no_wrap=True)
    table.add_column("modality", no_wrap=True)
    table.add_column("sampled", justify="right", no_wrap=True)
    table.add_column("folds", max_width=len("preprocessed"))
    table.add_column("tasks", overflow="fold")
    cases = Counter(case.member for case in collection.cases.values())
    patients = Counter(member for member, _ in {(case.member, case.patient) for case in collection.cases.values()})
    weights = sum(member.sampling_weight for member in collection.members.values())
    for name, member in collection.members.items():
        table.add_row(
            name,
            str(dataset_id(member.dataset_name)),
            str(cases[name]),
            str(patients[name]),
            "\n".join(member.modalities),
            f"{100 * member.sampling_weight / weights:.1f} %",
            result.fold_origins[name],
            listed((task.removeprefix(f"{name}/") for task in member.tasks), limit=_LISTED_TASKS),
        )
    return table


def knowledge_lines(collection: Collection) -> list[str]:
    """What may overlap and what is absent, and which names told nothing; a line each."""
    lines = overlap_lines(may_overlap(collection), members_of_tasks(collection), collection.absent)
    unknown = tasks_of_unknown_names(collection)
    if unknown:
        lines.append(
            f"names not known, so taken to overlap with no other (else say so in may_overlap): {listed(unknown)}"
        )
    return lines


def result_lines(result: MergeResult) -> list[str]:
    """What was done, or would be, and the command that comes next; a line each."""
    notes = [
        *(f"note: {note}" for note in result.notes),
        *(f"warning: {warning}" for warning in result.warnings),
        *annotation_lines(annotated_cases(result.collection)),
        *(_gap_line(gap) for gap in result.gaps),
        *_link_lines(result),
    ]
    lines = [*notes, *(f"{member}: {_counted(changes)}" for member, changes in result.changes.items())]
    if result.is_up_to_date:
        return [*notes, f"{result.folder} is up to date: nothing to do"]
    if result.dry_run:
        return [*lines, "dry run: images were not checked, nothing was written"]
    if result.outdated_files and not result.is_new:
        lines.append(f"written anew: {', '.join(result.outdated_files)}")
    # nnU-Net keeps a fingerprint that is there already.
    clean = "" if result.is_new else " --clean"
    command = f"nnUNetv2_plan_and_preprocess -d {dataset_id(result.folder.name)} -pl HermesPlanner -c 3d_fullres{clean}"
    return [*lines, f"written to {result.folder}; next: {command}"]


def _gap_line(gap: Gap) -> str:
    done = "training" if gap.half == "train" else "validation"
    return (
        f"warning: no {done} case of {gap.member} annotates {gap.task} in fold {listed(gap.folds)} (patients that "
        f"annotate it: {gap.patients})"
    )


def _link_lines(result: MergeResult) -> list[str]:
    """What is kept on one side of every fold beside each member's own patients."""
    lines = [
        f"images that several cases of {' and '.join(members)} have: {count}, kept on one side of every fold"
        for members, count in sorted(result.links.same_images.items())
    ]
    if result.links.same_patients:
        lines.append(
            f"patients that several members have: {result.links.same_patients}, kept on one side of every fold"
        )
    lines += [
        f"warning: all cases of {member} are linked by equal images: folds part them, so its validation says little"
        for member in result.links.alike
    ]
    lost = listed(f"{count} in fold {fold}" for fold, count in enumerate(result.lost) if count)
    if lost:
        lines.append(
            f"warning: cases left out of training, since they are validated under another name: {lost} (own "
            "splits_final.json of members disagree)"
        )
    return lines


def _counted(changes: MemberChanges) -> str:
    words = {
        "new": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
        "without their label file": changes.missing,
    }
    return "cases " + ", ".join(f"{word}: {count}" for word, count in words.items() if count)
