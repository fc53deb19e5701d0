"""What imported weights know: tasks, members with their data set names, and which rows of the task pool they take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.collection import UNKNOWN_MODALITY, Collection, Member, Task
from hermes_nnunet.core.nnunet_folders import dataset_id, datasets_in
from hermes_nnunet.core.paper.members import MemberTable, PaperMember
from hermes_nnunet.data.merge.specification import LARGEST_ID
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class ImportedIdentity:
    """A collection without cases, as imported weights describe it.

    Attributes:
        collection: tasks, modalities and members.
        rows: row of the released task pool of each task.
    """

    collection: Collection
    rows: tuple[int, ...]


def identity_of_members(
    table: MemberTable, *, task_rows: int, modality_rows: int, dataset_names: dict[str, str]
) -> ImportedIdentity:
    """The identity that a table of members gives to weights with as many rows.

    Raises:
        HermesError: the weights have fewer rows of tasks, or another number of modalities.
    """
    row_of = {
        task: row for member in table.members.values() for task, row in zip(member.tasks, member.rows, strict=True)
    }
    if max(row_of.values()) >= task_rows:
        raise HermesError(
            f"the weights have {task_rows} rows of tasks, the members need {max(row_of.values()) + 1}: give the table "
            f"of their own members with --members FILE"
        )
    if len(table.modalities) != modality_rows:
        raise HermesError(
            f"the weights have {modality_rows} rows of modalities, the members {len(table.modalities)} "
            f"({', '.join(table.modalities)}): list them in the members' file, '{UNKNOWN_MODALITY}' last"
        )
    members = {name: _member(member, dataset_names[name]) for name, member in table.members.items()}
    return ImportedIdentity(
        Collection(tasks=_tasks(row_of), modalities=table.modalities, members=members, cases={}),
        tuple(row_of.values()),
    )


def generic_identity(*, task_rows: int, modality_rows: int) -> ImportedIdentity:
    """Tasks and modalities by number, and no members."""
    modalities = (*(f"modality_{row}" for row in range(modality_rows - 1)), UNKNOWN_MODALITY)
    tasks = _tasks(f"task_{row}" for row in range(task_rows))
    return ImportedIdentity(
        Collection(tasks=tasks, modalities=modalities, members={}, cases={}), tuple(range(task_rows))
    )


def choose_dataset_names(table: MemberTable, into: int, folders: Sequence[Path]) -> dict[str, str]:
    """Name of the nnU-Net data set of every member.

    A data set that is already there under the member's name keeps its id; the others get the next free ids.

    Args:
        into: id of the universal model.
        folders: nnUNet_raw, nnUNet_preprocessed and nnUNet_results, which may be missing.

    Raises:
        HermesError: the ids run out.
    """
    present = sorted(name for folder in folders for name in datasets_in(folder))
    taken = {dataset_id(name) for name in present}
    free = (number for number in range(into + 1, LARGEST_ID + 1) if number not in taken)
    names = {}
    for name, member in table.members.items():
        own = next((dataset for dataset in present if dataset.partition("_")[2] == member.dataset), None)
        if own is None:
            number = next(free, None)
            if number is None:
                raise HermesError(f"no id above {into} is free for member {name}: choose a lower one with --into")
            own = f"Dataset{number:03d}_{member.dataset}"
        names[name] = own
    return names


def _tasks(names: Iterable[str]) -> tuple[Task, ...]:
    return tuple(Task(name, (value,), value) for value, name in enumerate(names, start=1))


def _member(member: PaperMember, dataset_name: str) -> Member:
    return Member(
        name=member.name,
        dataset_name=dataset_name,
        tasks=member.tasks,
        labels={"background": 0, **{label: value for value, label in enumerate(member.labels, start=1)}},
        regions_class_order=None,
        channels=dict.fromkeys(member.modalities),
        channel_names={"0": member.modalities[0]},
        file_ending=".nii.gz",
        sampling_weight=member.sampling_weight,
    )
