"""The collection: which tasks, modalities, members and cases a merged data set holds.

It is stored as the `hermes` block of the collection's dataset.json, beside what nnU-Net itself reads there.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, TypeVar

from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import (
    check_case_name,
    check_dataset_name,
    check_file_ending,
    check_file_name,
    check_task_name,
    quoted,
)
from hermes_nnunet.schema import OURS, Number, Text, Whole, checked_by, must_be, shown, versioned

FORMAT_VERSION = 1
HERMES_BLOCK = "hermes"
UNKNOWN_MODALITY = "unknown"

TaskName = Annotated[str, checked_by(check_task_name, "task")]
MemberName = Annotated[str, checked_by(check_file_name, "member")]
ModalityName = Annotated[str, checked_by(check_file_name, "modality")]
CaseName = Annotated[str, checked_by(check_case_name, "case")]
DatasetName = Annotated[str, checked_by(check_dataset_name, "data set")]
FileEnding = Annotated[str, checked_by(check_file_ending, "file_ending")]
LabelValues = Annotated[int | list[Whole], must_be("a whole number or a list of them")]
Labels = dict[Text, LabelValues]

# How often an image without labels is drawn in training, relative to one with labels: it only teaches its modality.
UNLABELLED_SHARE = 0.1

# Separates the parts of a case's name; the merge allows it in no member's name.
CASE_SEPARATOR = "__"


@dataclass(frozen=True)
class Task:
    """A binary segmentation target.

    Attributes:
        name: `<member>/<label>`, or the name under which members share it.
        values: label values of the collection that belong to it; several for an nnU-Net region.
        written_value: the value that marks it in a segmentation of the whole collection.
    """

    name: TaskName
    values: tuple[Whole, ...]
    written_value: Whole

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class Member:
    """One data set of the collection, with what a model folder of its own needs.

    Attributes:
        name: unique in the collection.
        dataset_name: nnU-Net's name, for example Dataset303_CardiacCine.
        tasks: names of the annotated tasks, in the order of `labels`; none where all its images are without labels.
        labels: the member's own names and values: background, one entry a task, and ignore where it has one.
        regions_class_order: the member's own, one entry a task, or None without regions.
        channels: modality of an image -> its channel in the member; None where an image has all channels.
        channel_names: the member's own.
        file_ending: the member's own.
        sampling_weight: share of the training patches in relation to the other members' weights.
    """

    name: MemberName
    dataset_name: DatasetName
    tasks: tuple[TaskName, ...]
    labels: Labels
    regions_class_order: tuple[Whole, ...] | None
    channels: dict[ModalityName, Whole | None]
    channel_names: dict[Text, Text]
    file_ending: FileEnding
    sampling_weight: Number

    __pydantic_config__ = OURS

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.channels)


@dataclass(frozen=True)
class Case:
    """One image of the collection.

    Attributes:
        member: whose it is.
        modality: of the image.
        patient: whom folds must not part.
        annotated: those of the member's tasks that its label file annotates, in their order; None for all of them. Of
            an image without labels there are none.
    """

    member: Text
    modality: Text
    patient: Text
    annotated: tuple[Text, ...] | None = None

    __pydantic_config__ = OURS

    def to_json(self) -> dict[str, Any]:
        """The case as JSON stores it; `annotated` only where it says something."""
        content = asdict(self)
        if self.annotated is None:
            del content["annotated"]
        return content


@dataclass(frozen=True)
class Context:
    """What the network is told about an image: the tasks to segment, in this order, and its modality."""

    tasks: tuple[Text, ...]
    modality: Text

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class Collection:
    """Tasks, modalities, members and cases, and what is known about where tasks are not.

    Attributes:
        tasks: in the order of the task pool.
        modalities: in the order of the modality pool.
        members: by name.
        cases: by name.
        excludes: task -> tasks of other members that never share a voxel with it.
        absent: member -> tasks that none of its images show.
    """

    tasks: tuple[Task, ...]
    modalities: tuple[ModalityName, ...]
    members: dict[MemberName, Member]
    cases: dict[CaseName, Case]
    # Collections of earlier releases know neither.
    excludes: dict[Text, tuple[Text, ...]] = field(default_factory=dict)
    absent: dict[Text, tuple[Text, ...]] = field(default_factory=dict)

    __pydantic_config__ = OURS

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def context_of(self, case: str) -> Context:
        """Context of a case of this collection: what it annotates of its member's tasks, and its modality.

        Raises:
            HermesError: the case is not in the collection.
        """
        try:
            entry = self.cases[case]
        except KeyError:
            raise HermesError(
                f"case {case} is not in the collection's dataset.json: merge and preprocess again so that both agree"
            ) from None
        tasks = self.members[entry.member].tasks if entry.annotated is None else entry.annotated
        return Context(tasks=tasks, modality=entry.modality)

    def labelled(self, cases: Iterable[str]) -> list[str]:
        """The cases that annotate anything; the others contribute their modality only."""
        return [case for case in cases if self.context_of(case).tasks]

    def to_block(self) -> dict[str, Any]:
        """The `hermes` block of dataset.json."""
        return {
            "format_version": FORMAT_VERSION,
            "tasks": [asdict(task) for task in self.tasks],
            "modalities": list(self.modalities),
            "members": members_to_json(self.members),
            "cases": {name: case.to_json() for name, case in self.cases.items()},
            "excludes": {task: list(others) for task, others in self.excludes.items()},
            "absent": {member: list(tasks) for member, tasks in self.absent.items()},
        }

    @classmethod
    def from_dataset_json(cls, dataset_json: Mapping[str, Any], where: str) -> "Collection":
        """Read the `hermes` block of a dataset.json that `where` names in messages.

        Raises:
            HermesError: there is no such block, it is of another format version, or something in it is missing, wrong,
                or names a task or member that does not exist.
        """
        where, remedy = f"dataset.json of {where}", "merge its members with 'hermes_nnunet merge'"
        collection = read_block(cls, dataset_json, where, remedy)
        collection._check_names(where, remedy)
        return collection

    def _check_names(self, where: str, remedy: str) -> None:
        tasks, members = frozenset(self.task_names), self.members
        check_members(members, tasks, where, remedy)
        named = [
            *((f"cases.{name}.member", "member", (case.member,), members) for name, case in self.cases.items()),
            ("excludes", "task", self.excludes, tasks),
            *((f"excludes.{task}", "task", others, tasks) for task, others in self.excludes.items()),
            ("absent", "member", self.absent, members),
            *((f"absent.{member}", "task", others, tasks) for member, others in self.absent.items()),
        ]
        check_known(named, where, remedy)
        for name, case in self.cases.items():
            annotated = set(case.annotated or ())
            own = tuple(task for task in members[case.member].tasks if task in annotated)
            if case.annotated is not None and case.annotated != own:
                raise HermesError(
                    f"{where}: {HERMES_BLOCK}.cases.{name}.annotated must name tasks of member {case.member}, once "
                    f"each and in their order, not {shown(list(case.annotated))}: {remedy}"
                )


Block = TypeVar("Block")


def read_block(schema: type[Block], content: Mapping[str, Any], where: str, remedy: str) -> Block:
    """The `hermes` block of a dataset.json or plans file.

    Raises:
        HermesError: the block is missing, of a format version that this release does not know, or not as its schema.
    """
    if not isinstance(content, Mapping) or HERMES_BLOCK not in content:
        raise HermesError(f"{where} has no '{HERMES_BLOCK}' block, so it is not made for Hermes: {remedy}")
    return versioned(schema, content[HERMES_BLOCK], FORMAT_VERSION, where, remedy, inside=HERMES_BLOCK)


def check_known(named: Iterable[tuple[str, str, Iterable[str], Container[str]]], where: str, remedy: str) -> None:
    """Check that a block names nothing that does not exist.

    Args:
        named: place in the block, what is named there, the names, and the names that exist.
        where: file that messages name.
        remedy: what messages advise.

    Raises:
        HermesError: a name does not exist.
    """
    for place, what, names, known in named:
        for name in names:
            if name not in known:
                raise HermesError(
                    f"{where}: {HERMES_BLOCK}.{place} names {what} {quoted(name)}, which does not exist: {remedy}"
                )


def check_members(members: Mapping[str, Member], tasks: Container[str], where: str, remedy: str) -> None:
    """Check that the tasks of a block's members exist and have a label each.

    Raises:
        HermesError: one does not.
    """
    for name, member in members.items():
        if member.name != name:
            raise HermesError(
                f"{where}: {HERMES_BLOCK}.members.{name} says that its name is {quoted(member.name)}: {remedy}"
            )
        check_known([(f"members.{name}.tasks", "task", member.tasks, tasks)], where, remedy)
        order = member.regions_class_order
        for what, number in (
            ("labels", len(member.labels.keys() - {"background", "ignore"})),
            ("regions_class_order", len(member.tasks if order is None else order)),
        ):
            if number != len(member.tasks):
                raise HermesError(
                    f"{where}: {HERMES_BLOCK}.members.{name} has {len(member.tasks)} tasks, but {number} in {what}: "
                    f"{remedy}"
                )


def members_to_json(members: Mapping[str, Member]) -> dict[str, Any]:
    """Members as JSON stores them, by name."""
    return {name: asdict(member) for name, member in members.items()}


def case_identifier(member: str, case: str, modality: str | None = None) -> str:
    """Name of a member's case in the collection; `modality` where every channel is a case of its own."""
    return CASE_SEPARATOR.join((member, case) if modality is None else (member, case, modality))


def member_and_own_case(case: str) -> tuple[str, str]:
    """Member of a case of the collection, and the rest of its name: the inverse of `case_identifier`."""
    member, own = case.split(CASE_SEPARATOR, 1)
    return member, own
