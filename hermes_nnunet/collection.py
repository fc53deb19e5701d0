"""The collection: which tasks, modalities, members and cases a merged data set holds.

It is stored as the `hermes` block of the collection's dataset.json, beside what nnU-Net itself reads there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import (
    check_case_name,
    check_dataset_name,
    check_file_ending,
    check_file_name,
    check_task_name,
)

FORMAT_VERSION = 1
HERMES_BLOCK = "hermes"
UNKNOWN_MODALITY = "unknown"

Labels = dict[str, int | list[int]]

# How often an image without labels is drawn in training, in relation to one with labels: it teaches its modality only.
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

    name: str
    values: tuple[int, ...]
    written_value: int


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

    name: str
    dataset_name: str
    tasks: tuple[str, ...]
    labels: Labels
    regions_class_order: tuple[int, ...] | None
    channels: dict[str, int | None]
    channel_names: dict[str, str]
    file_ending: str
    sampling_weight: float

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

    member: str
    modality: str
    patient: str
    annotated: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The case as JSON stores it; `annotated` only where it says something."""
        content: dict[str, Any] = {"member": self.member, "modality": self.modality, "patient": self.patient}
        return content if self.annotated is None else {**content, "annotated": list(self.annotated)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Case":
        """The inverse of `to_json`."""
        annotated = content.get("annotated")
        return cls(**{**content, "annotated": None if annotated is None else tuple(annotated)})


@dataclass(frozen=True)
class Context:
    """What the network is told about an image: the tasks to segment, in this order, and its modality."""

    tasks: tuple[str, ...]
    modality: str


@dataclass(frozen=True)
class Collection:
    """Tasks, modalities, members and cases, and what is known of where tasks are not.

    Attributes:
        tasks: in the order of the task pool.
        modalities: in the order of the modality pool.
        members: by name.
        cases: by name.
        excludes: task -> tasks that never have a voxel in common with it, of those that other members label.
        absent: member -> tasks that none of its images show.
    """

    tasks: tuple[Task, ...]
    modalities: tuple[str, ...]
    members: dict[str, Member]
    cases: dict[str, Case]
    excludes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: dict[str, tuple[str, ...]] = field(default_factory=dict)

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
        """Those of the cases that annotate anything; the others bring nothing but their modality."""
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
            HermesError: there is no such block, it is of another format version or incomplete, or a name in it could
                not be part of a file's name.
        """
        block = hermes_block(dataset_json, f"dataset.json of {where}", "merge its members with 'hermes_nnunet merge'")
        try:
            collection = cls(
                tasks=tuple(
                    Task(check_task_name(t["name"]), tuple(t["values"]), t["written_value"]) for t in block["tasks"]
                ),
                modalities=modalities_from_json(block["modalities"]),
                members=members_from_json(block["members"]),
                cases={check_case_name(name): Case.from_json(case) for name, case in block["cases"].items()},
                # Collections of earlier releases know neither.
                excludes={task: tuple(others) for task, others in block.get("excludes", {}).items()},
                absent={member: tuple(tasks) for member, tasks in block.get("absent", {}).items()},
            )
            collection._check_names()
        except (AttributeError, KeyError, TypeError) as error:
            raise HermesError(
                f"the hermes block in dataset.json of {where} is damaged ({error}): run 'hermes_nnunet merge' again"
            ) from None
        return collection

    def _check_names(self) -> None:
        """Raises: KeyError where what is known of tasks names a task or member that there is not."""
        tasks = dict.fromkeys(self.task_names)
        for known, names in ((self.excludes, tasks), (self.absent, self.members)):
            for name, others in known.items():
                _ = names[name], *(tasks[other] for other in others)
        for case in self.cases.values():
            if case.annotated:
                own = dict.fromkeys(self.members[case.member].tasks)
                _ = [own[task] for task in case.annotated]


def hermes_block(content: Mapping[str, Any], where: str, remedy: str) -> Mapping[str, Any]:
    """The `hermes` block of a dataset.json or plans file.

    Raises:
        HermesError: the block is missing or of a format version that this release does not know.
    """
    if HERMES_BLOCK not in content:
        raise HermesError(f"{where} has no '{HERMES_BLOCK}' block, so it is not made for Hermes: {remedy}")
    block = content[HERMES_BLOCK]
    version = block.get("format_version")
    if version != FORMAT_VERSION:
        raise HermesError(
            f"the '{HERMES_BLOCK}' block of {where} has format version {version}, this release reads "
            f"{FORMAT_VERSION}: {remedy} with this release"
        )
    return block


def members_to_json(members: Mapping[str, Member]) -> dict[str, Any]:
    """Members as JSON stores them, by name."""
    return {name: asdict(member) for name, member in members.items()}


def members_from_json(content: Mapping[str, Any]) -> dict[str, Member]:
    """The inverse of `members_to_json`.

    Raises:
        HermesError: a name could not be part of a file's name.
        AttributeError, KeyError, TypeError: the content is damaged.
    """
    members = {}
    for name, fields in content.items():
        order = fields["regions_class_order"]
        members[check_file_name(name, "member")] = Member(
            **{
                **fields,
                "name": check_file_name(fields["name"], "member"),
                "dataset_name": check_dataset_name(fields["dataset_name"], f"data set of member {name}:"),
                "tasks": tuple(check_task_name(task) for task in fields["tasks"]),
                "file_ending": check_file_ending(fields["file_ending"], f"file_ending of member {name}:"),
                "regions_class_order": None if order is None else tuple(order),
            }
        )
    return members


def modalities_from_json(content: Sequence[str]) -> tuple[str, ...]:
    """Names of modalities.

    Raises:
        HermesError: a name could not be part of a file's name.
    """
    return tuple(check_file_name(modality, "modality") for modality in content)


def case_identifier(member: str, case: str, modality: str | None = None) -> str:
    """Name of a member's case in the collection; `modality` where every channel is a case of its own."""
    return CASE_SEPARATOR.join((member, case) if modality is None else (member, case, modality))


def member_and_own_case(case: str) -> tuple[str, str]:
    """Member of a case of the collection, and the rest of its name: the inverse of `case_identifier`."""
    member, own = case.split(CASE_SEPARATOR, 1)
    return member, own
