"""Tasks and label values of a collection, from the labels of its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from hermes_nnunet.collection import Labels, Task
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.data.merge.own_labels import OwnLabel, OwnLabels
from hermes_nnunet.data.merge.specification import check_task_word
from hermes_nnunet.errors import HermesError

# nnU-Net stores preprocessed segmentations as int16, so a value that fits a uint16 label file may still be lost.
LARGEST_VALUE = 32767


@dataclass(frozen=True)
class LabelledMember:
    """What the plan needs of a member: its labels, and which of them are renamed or (None) left out."""

    name: str
    labels: OwnLabels
    renamed: Mapping[str, str | None]


@dataclass(frozen=True)
class MemberTasks:
    """A member's part of the plan.

    Attributes:
        tasks: names of its tasks, in the order of its labels.
        labels: its own names and values of the labels that are kept.
        regions_class_order: its own, for the labels that are kept; None without regions among them.
        values: every value that its label files may hold -> value of the collection.
    """

    tasks: tuple[str, ...]
    labels: Labels
    regions_class_order: tuple[int, ...] | None
    values: dict[int, int]


# Of a member whose images have no labels.
NO_TASKS = MemberTasks((), {"background": 0}, None, {})


def task_of_labels(member: MemberTasks) -> dict[str, str]:
    """Own name of each label that is kept -> its task, in the order of the tasks."""
    return dict(zip(foreground_values(member.labels), member.tasks, strict=True))


@dataclass(frozen=True)
class TaskPlan:
    """Tasks of the collection in their order, each member's part, and the ignore value where a member has one."""

    tasks: tuple[Task, ...]
    members: dict[str, MemberTasks]
    ignore: int | None


def plan_tasks(members: Sequence[LabelledMember], shared_tasks: Mapping[str, Sequence[str]]) -> TaskPlan:
    """Give every task its name and label values.

    Values count from 1 in the order of members and of their own values. Labels of one value that members share have one
    value together; a task with a region among its labels owns the values of all of them. Values of labels that are left
    out become background.

    Raises:
        HermesError: a label is unknown or left over, names clash, a sharing contradicts the labels, or there are too
            many values.
    """
    kept = {member.name: _kept_labels(member) for member in members}
    task_of = _task_names(kept, shared_tasks)
    values = _number_values(kept, task_of)
    largest = max(value for own in values.values() for value in own.values())
    has_ignore = any(member.labels.ignore is not None for member in members)
    if largest + has_ignore > LARGEST_VALUE:
        raise HermesError(
            f"the members have {largest + has_ignore} label values together, nnU-Net can store {LARGEST_VALUE}: leave "
            "labels out, or make two collections"
        )
    tasks = _tasks(kept, task_of, values)
    _check_sharing(kept, task_of, values, {task.name: task for task in tasks})
    ignore = largest + 1 if has_ignore else None
    return TaskPlan(
        tasks=tasks,
        members={
            member.name: _member_tasks(member, kept[member.name], task_of, values[member.name], ignore)
            for member in members
        },
        ignore=ignore,
    )


@dataclass(frozen=True)
class _KeptLabel:
    member: str
    own: OwnLabel
    name: str

    @property
    def address(self) -> str:
        """As shared_tasks names it."""
        return f"{self.member}/{self.name}"


_Kept = Mapping[str, Sequence[_KeptLabel]]
_Values = Mapping[str, Mapping[int, int]]


def _kept_labels(member: LabelledMember) -> list[_KeptLabel]:
    own_names = [label.name for label in member.labels.labels]
    for own_name in member.renamed:
        if own_name not in own_names:
            raise HermesError(
                f"member {member.name} has no label '{own_name}'{did_you_mean(own_name, own_names)}: its labels are "
                f"{listed(own_names)}"
            )
    kept: dict[str, _KeptLabel] = {}
    for label in member.labels.labels:
        name = member.renamed.get(label.name, label.name)
        if name is None:
            continue
        check_task_word(name, f"label of member {member.name}", "rename it under labels: in a YAML file")
        if name in kept:
            raise HermesError(
                f"labels {kept[name].own.name} and {label.name} of member {member.name} are both named '{name}': "
                "choose two names"
            )
        kept[name] = _KeptLabel(member.name, label, name)
    if not kept:
        raise HermesError(f"member {member.name} has no label left: keep at least one, or leave the member out")
    return list(kept.values())


def _task_names(kept: _Kept, shared_tasks: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Address of every kept label -> name of its task."""
    task_of = {label.address: label.address for labels in kept.values() for label in labels}
    addresses = list(task_of)
    for task, shared in shared_tasks.items():
        for address in shared:
            if address not in addresses:
                raise HermesError(
                    f"shared task '{task}': there is no label {address}{did_you_mean(address, addresses)}: the labels "
                    f"are {listed(addresses, limit=40)}"
                )
            task_of[address] = task
    return task_of


def _number_values(kept: _Kept, task_of: Mapping[str, str]) -> dict[str, dict[int, int]]:
    """Member -> own value -> value of the collection, for the values of kept labels."""
    number_of: dict[tuple[str, ...] | tuple[str, int], int] = {}
    values: dict[str, dict[int, int]] = {}
    for member, labels in kept.items():
        # A label of one value shares it; a value that only regions hold stays the member's own.
        owner = {label.own.values[0]: task_of[label.address] for label in labels if not label.own.is_region}
        values[member] = {}
        for value in sorted({value for label in labels for value in label.own.values}):
            key = (owner[value],) if value in owner else (member, value)
            values[member][value] = number_of.setdefault(key, len(number_of) + 1)
    return values


def _tasks(kept: _Kept, task_of: Mapping[str, str], values: _Values) -> tuple[Task, ...]:
    labels_of: dict[str, list[_KeptLabel]] = {}
    for labels in kept.values():
        for label in labels:
            labels_of.setdefault(task_of[label.address], []).append(label)
    tasks = {}
    for name, labels in labels_of.items():
        owned = {values[label.member][value] for label in labels for value in label.own.values}
        # A region's own choice keeps the regions within it apart when all are written to one segmentation.
        marking = next((label for label in labels if label.own.is_region), labels[0])
        tasks[name] = Task(name, tuple(sorted(owned)), values[marking.member][marking.own.written_value])
    return tuple(tasks[name] for name in _in_painting_order(kept, task_of, list(tasks)))


def _in_painting_order(kept: _Kept, task_of: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Tasks by first appearance, but after those that a member paints under them, as nnU-Net paints regions."""
    painted_under: dict[str, list[str]] = {name: [] for name in names}
    for labels in kept.values():
        if any(label.own.is_region for label in labels):
            for earlier, later in combinations(labels, 2):
                if set(earlier.own.values) & set(later.own.values):
                    painted_under[task_of[later.address]].append(task_of[earlier.address])
    ordered: dict[str, None] = {}
    visited = set()

    def place(name: str) -> None:
        if name not in visited:
            visited.add(name)
            for under in painted_under[name]:
                place(under)
            ordered[name] = None

    for name in names:
        place(name)
    return list(ordered)


def _check_sharing(kept: _Kept, task_of: Mapping[str, str], values: _Values, tasks: Mapping[str, Task]) -> None:
    """A task must cover, in every member that has it, the voxels of that member's label and no others."""
    for member, labels in kept.items():
        for label in labels:
            task = tasks[task_of[label.address]]
            if task.name == label.address:
                continue
            extra = {own for own, value in values[member].items() if value in task.values} - set(label.own.values)
            if extra:
                others = [other.name for other in labels if extra & set(other.own.values)]
                raise HermesError(
                    f"shared task '{task.name}' would cover {listed(others)} of member {member} too, because another "
                    f"member's region holds what it shares with {listed(others)}: share labels that mean the same"
                )


def _member_tasks(
    member: LabelledMember,
    labels: Sequence[_KeptLabel],
    task_of: Mapping[str, str],
    values: Mapping[int, int],
    ignore: int | None,
) -> MemberTasks:
    own = [label.own for label in labels]
    kept: Labels = {"background": 0}
    kept |= {label.name: list(label.values) if label.is_region else label.values[0] for label in own}
    # nnU-Net takes an ignore value only right above the others; where labels are left out, a view does without.
    if member.labels.ignore == max(values) + 1:
        kept["ignore"] = member.labels.ignore
    every_value = {value: values.get(value, 0) for value in sorted(member.labels.known_values)}
    if member.labels.ignore is not None and ignore is not None:
        every_value[member.labels.ignore] = ignore
    return MemberTasks(
        tasks=tuple(task_of[label.address] for label in labels),
        labels=kept,
        regions_class_order=tuple(label.written_value for label in own) if any(o.is_region for o in own) else None,
        values=every_value,
    )
