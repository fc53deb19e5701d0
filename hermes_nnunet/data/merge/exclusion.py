"""Which tasks of a collection exclude each other, and which are absent from a member's images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations

from hermes_nnunet.collection import Collection, Task
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.data.merge.specification import OTHERS, MemberSpecification
from hermes_nnunet.data.merge.structures import Overlap, is_known, overlap_of_names
from hermes_nnunet.data.merge.task_plan import TaskPlan
from hermes_nnunet.errors import HermesError

# Of the tasks there are, for whoever looks for a name.
_NAMES_SHOWN = 40


@dataclass(frozen=True)
class TaskNames:
    """What the tasks of a collection are called.

    Attributes:
        tasks: in the order of the task pool.
        words_of: task -> its own word, and the members' labels for it.
        members_of: task -> members that label it.
    """

    tasks: tuple[Task, ...]
    words_of: Mapping[str, frozenset[str]]
    members_of: Mapping[str, frozenset[str]]

    @classmethod
    def of_plan(cls, plan: TaskPlan) -> "TaskNames":
        """Names of all tasks of a plan."""
        words: dict[str, set[str]] = {task.name: {task.name.rpartition("/")[2]} for task in plan.tasks}
        members: dict[str, set[str]] = {task.name: set() for task in plan.tasks}
        for name, member in plan.members.items():
            for task, label in zip(member.tasks, foreground_values(member.labels), strict=True):
                words[task].add(label)
                members[task].add(name)
        return cls(
            plan.tasks,
            {task: frozenset(own) for task, own in words.items()},
            {task: frozenset(own) for task, own in members.items()},
        )

    def called(self, name: str) -> list[str]:
        """Tasks of this name: a task's, a label's, or that of a member for all that it labels."""
        return [
            task.name
            for task in self.tasks
            if name == task.name or name in self.words_of[task.name] or name in self.members_of[task.name]
        ]

    def known_names(self) -> list[str]:
        """All names that `called` finds something for, tasks first."""
        names = {task.name: None for task in self.tasks}
        names |= {word: None for task in self.tasks for word in sorted(self.words_of[task.name])}
        names |= {member: None for task in self.tasks for member in sorted(self.members_of[task.name])}
        return list(names)


def exclusions(
    names: TaskNames, may_overlap: Sequence[Sequence[str]], parted: Iterable[AbstractSet[str]] = ()
) -> dict[str, tuple[str, ...]]:
    """Task -> tasks that never have a voxel in common with it, as far as names tell; symmetric.

    Tasks that the same cases label are left out: the labels of these tell more than names.

    Args:
        names: of the tasks.
        may_overlap: groups of names that may overlap whatever their names say.
        parted: sets of tasks that cases annotate where they do not annotate all of their member's.

    Raises:
        HermesError: may_overlap names what there is not.
    """
    said = {frozenset(pair) for group in may_overlap for pair in _pairs_of_group(group, names)}
    parted = list(parted)
    where = {task.name: bytes(task.name in own for own in parted) for task in names.tasks}
    excludes: dict[str, list[str]] = {task.name: [] for task in names.tasks}
    for a, b in combinations(names.tasks, 2):
        together = names.members_of[a.name] == names.members_of[b.name] and where[a.name] == where[b.name]
        if together or frozenset((a.name, b.name)) in said:
            continue
        if _overlap(names, a, b) is None:
            excludes[a.name].append(b.name)
            excludes[b.name].append(a.name)
    return {task: tuple(others) for task, others in excludes.items() if others}


def absences(
    names: TaskNames, members: Mapping[str, MemberSpecification], may_overlap: Sequence[Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Member -> tasks that none of its images show, because its specification says so.

    "others" are all tasks that the member does not label, but for those that are, hold or are a part of what it does.
    Labels that the merge leaves out are labelled all the same: its files show them.

    Raises:
        HermesError: a name is not known, or the member labels the task itself.
    """
    said = {frozenset(pair) for group in may_overlap for pair in _pairs_of_group(group, names)}
    found = {}
    for name, specification in members.items():
        absent, left_out = specification.absent, specification.left_out
        if absent == OTHERS:
            absent = [task.name for task in names.tasks if _is_elsewhere(task, name, names, said, left_out)]
        else:
            absent = list(dict.fromkeys(_absent_tasks(name, absent, names, left_out)))
        if absent:
            found[name] = tuple(absent)
    return found


def tasks_of_unknown_names(collection: Collection) -> list[str]:
    """Tasks that exclude others although nothing is known of any of their names."""
    words: dict[str, set[str]] = {task: {task.rpartition("/")[2]} for task in collection.excludes}
    for member in collection.members.values():
        for task, label in zip(member.tasks, foreground_values(member.labels), strict=True):
            words.get(task, set()).add(label)
    return [task for task, own in words.items() if not any(map(is_known, own))]


def _pairs_of_group(group: Sequence[str], names: TaskNames) -> Iterator[tuple[str, str]]:
    for one, other in combinations(group, 2):
        for a in _tasks_called(one, names, "may_overlap"):
            yield from ((a, b) for b in _tasks_called(other, names, "may_overlap") if a != b)


def _tasks_called(name: str, names: TaskNames, where: str) -> list[str]:
    tasks = names.called(name)
    if not tasks:
        known = names.known_names()
        raise HermesError(
            f"{where}: there is no task, label or member '{name}'{did_you_mean(name, known)}: the tasks are "
            f"{listed([task.name for task in names.tasks], limit=_NAMES_SHOWN)}"
        )
    return tasks


def _absent_tasks(member: str, absent: Sequence[str], names: TaskNames, left_out: Iterable[str]) -> Iterator[str]:
    for name in absent:
        where = f"absent of member {member}"
        tasks = _tasks_called(name, names, where)
        own = [task for task in tasks if member in names.members_of[task]]
        if own:
            raise HermesError(
                f"{where}: '{name}' is {own[0]}, which the member labels itself: take it out, or name another member's "
                "task in full, member/label"
            )
        shown = [] if "/" in name else [task for task in tasks if names.words_of[task].intersection(left_out)]
        if shown:
            raise HermesError(
                f"{where}: '{name}' is {shown[0]}, of which the member has a label that labels: leaves out: take it "
                "out, or name another member's task in full, member/label"
            )
        yield from tasks


def _is_elsewhere(
    task: Task, member: str, names: TaskNames, said: set[frozenset[str]], left_out: Iterable[str]
) -> bool:
    """Whether a task is none of a member's own, and nothing tells that its images may show it."""
    own = [other for other in names.tasks if member in names.members_of[other.name]]
    if task in own or any(frozenset((task.name, other.name)) in said for other in own):
        return False
    overlaps = [_overlap(names, task, other) for other in own]
    overlaps += [overlap_of_names(names.words_of[task.name], [label]) for label in left_out]
    return all(overlap in (None, Overlap.FINDING) for overlap in overlaps)


def _overlap(names: TaskNames, a: Task, b: Task) -> Overlap | None:
    if set(a.values) & set(b.values):
        return Overlap.PART
    return overlap_of_names(names.words_of[a.name], names.words_of[b.name])
