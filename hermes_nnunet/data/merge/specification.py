"""What a merge is told to do: its members, and what is named, shared or left out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hermes_nnunet.core.images.spacing_choice import check_spacing_from
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name, check_task_name, quoted
from hermes_nnunet.modalities import KNOWN_MODALITIES
from hermes_nnunet.schema import OURS, Flag, Number, Text, Whole, must_be, shaped_as

# nnU-Net takes the id from three digits of the folder's name.
LARGEST_ID = 999
RESERVED_LABELS = ("background", "ignore")
# What `absent` says for all tasks of other members.
OTHERS: Literal["others"] = "others"
# What `annotated` says where the voxels of a label file are to tell it.
SHOWN = "shown"

_COLLECTION_NAME = re.compile(r"[A-Za-z0-9_-]+")
# "__" separates the parts of a case's name in the collection, so no part may hold it or touch it with "_".
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9+])?")


def _as_id(word: int | str) -> int | str:
    return int(word) if isinstance(word, str) and word.isdecimal() else word


# As a merge file says them: what YAML reads bare words such as no and 5 as is no word.
_Word = Annotated[Text, must_be("a word (put it in quotes)")]
_Words = Annotated[Sequence[Text], AfterValidator(tuple), must_be("a list of words")]
_Dataset = Annotated[
    Whole | Annotated[Text, Field(min_length=1), AfterValidator(_as_id)],
    must_be("an id such as 301 or a folder name such as Dataset301_HeadNeckCord"),
]
_Modality = Annotated[
    Text | Annotated[Mapping[Text, Text], Field(min_length=1)],
    must_be("a word, or map each modality to a pattern of its cases' names, for example {T1: '_t1$', T2: '_t2$'}"),
]
_Channel = Annotated[Whole | Text, must_be("the index or the name of a channel")]
_Channels = Annotated[
    Mapping[Whole | Text, Text], must_be("a map of each channel to its modality, for example {T1: T1, 1: FLAIR}")
]
_Labels = Annotated[
    Mapping[Text, Text | None],
    must_be("a map of own labels to new names, or to null to leave them out (put words such as no in quotes)"),
]
_Absent = Annotated[Literal["others"] | _Words, must_be(f"a list of names, or the word {OTHERS}")]
_Annotated = Annotated[
    Text | Mapping[Text, _Words],
    must_be(
        "a map of patterns of cases' names to lists of labels, for example {'a_*': [liver, spleen]}, or a CSV file, "
        f"or the word {SHOWN}"
    ),
]
_Unlabelled = Annotated[Flag | _Words, must_be("true, false or a list of patterns of cases' names")]
_Groups = Annotated[
    Sequence[_Words],
    AfterValidator(tuple),
    must_be("a list of lists of names, for example [[cord/stem, medulla]]"),
]


@dataclass(frozen=True)
class MemberSpecification:
    """One data set of a merge.

    Attributes:
        dataset: its id (301) or folder name (Dataset301_HeadNeckCord).
        modality: of its images; where they are of different modalities, modality -> regular expression that is searched
            in a case's name; not where `channels` tells it.
        name: in the collection; by default the folder name without DatasetXXX_.
        channel: name or index of the one channel to use.
        channels: channel (name or index) -> modality, every one a case of its own.
        labels: own label -> its name in the collection, or None to leave it out; the others keep their name.
        sampling_weight: by default the square root of the number of cases.
        patient_pattern: regular expression whose group 'patient', or first group, or whole match in a case's name is
            the patient; by default every case is a patient of its own.
        absent: names of tasks, labels or members that none of its images show; "others" for all tasks that it does not
            label.
        annotated: pattern of case names -> own labels that these cases annotate; or a CSV file of cases and labels; or
            "shown", where a case is to annotate what its label file shows. A case of which nothing is said here, or in
            the data set's dataset.json, annotates all labels.
        unlabelled: True where no image has labels, or patterns of the names of those that have none.
    """

    dataset: _Dataset
    modality: _Modality | None = None
    name: _Word | None = None
    channel: _Channel | None = None
    channels: _Channels | None = None
    labels: _Labels = field(default_factory=dict)
    sampling_weight: Annotated[Number, Field(gt=0), must_be("a number above 0")] | None = None
    patient_pattern: _Word | None = None
    absent: _Absent = ()
    annotated: _Annotated | None = None
    unlabelled: _Unlabelled = False

    __pydantic_config__ = OURS

    def __post_init__(self) -> None:
        where = f"member {self.dataset}"
        if self.channels is not None:
            if self.channel is not None or self.modality is not None:
                raise HermesError(
                    f"{where} has channels beside channel or modality: channels names a modality for each"
                )
            _check_channels(self.channels, where)
        elif self.modality is None:
            raise HermesError(f"{where} has no modality: name it, for example {self.dataset}:CT")
        for modality, pattern in self.modality_patterns.items():
            _check_pattern(pattern, f"pattern of modality {modality}", where)
        if self.name is not None:
            check_word(self.name, f"name of {where}")
        weight = self.sampling_weight
        if weight is not None and not 0 < weight < float("inf"):
            raise HermesError(f"sampling_weight {weight} of {where}: give a number above 0")
        if self.patient_pattern is not None:
            _check_pattern(self.patient_pattern, "patient_pattern", where)
        if self.unlabelled is True and (self.annotated is not None or self.labels):
            key = "labels" if self.annotated is None else "annotated"
            raise HermesError(f"{where} has {key} though it is unlabelled: take one of the two out")
        if self.unlabelled is True and self.absent == OTHERS:
            raise HermesError(
                f"absent of {where} is '{OTHERS}' though it is unlabelled, so no task would be in its images at all: "
                "name what they do not show"
            )
        for own, renamed in self.labels.items():
            if own in RESERVED_LABELS or renamed in RESERVED_LABELS:
                raise HermesError(
                    f"labels of {where} ({own}: {renamed}): background and ignore stay what they are, "
                    "rename or leave out other labels"
                )

    @property
    def left_out(self) -> list[str]:
        """Own labels that become background."""
        return [label for label, name in self.labels.items() if name is None]

    @property
    def modality_patterns(self) -> Mapping[str, str]:
        """Modality -> regular expression; empty where all cases have the same modalities."""
        return self.modality if isinstance(self.modality, Mapping) else {}

    @property
    def modalities(self) -> tuple[str, ...]:
        if self.channels is not None:
            return tuple(self.channels.values())
        return tuple(self.modality_patterns) or (str(self.modality),)


_Id = Annotated[
    int,
    shaped_as(Whole | Annotated[Text, Field(pattern=r"^\d+$"), AfterValidator(int)]),
    must_be("the collection's id, such as 900"),
]
_Members = Annotated[
    Sequence[MemberSpecification],
    AfterValidator(tuple),
    must_be("a list of data sets, each with dataset: and modality:", parts=False),
]
_SharedTasks = Annotated[
    Mapping[Text, _Words], must_be("a map of a task's name to a list of member/label", parts=False)
]


@dataclass(frozen=True)
class MergeSpecification:
    """A whole merge. One that could be made is valid as far as this can be said without looking at the data sets.

    Attributes:
        name: of the collection's data set: DatasetXXX_<name>.
        into: its id.
        members: in the order that label values and tasks get.
        new_modalities: modality words outside the known list.
        shared_tasks: task name -> the "<member>/<label>" that it stands for, in names after renaming.
        may_overlap: groups of names (of tasks, labels or members) that may have voxels in common, whatever their names
            say.
        shared_patients: names of members in which one name of a patient means one person; True for all members.
        spacing_from: "affine" or "header", where an image's header says two spacings and nothing in it decides.

    Raises:
        HermesError: a name, modality, id or sharing is not possible.
    """

    name: _Word
    into: _Id
    members: _Members
    new_modalities: _Words = ()
    shared_tasks: _SharedTasks = field(default_factory=dict)
    may_overlap: _Groups = ()
    shared_patients: Annotated[Flag | _Words, must_be("true, false or a list of members")] = False
    spacing_from: _Word | None = None

    __pydantic_config__ = OURS

    def __post_init__(self) -> None:
        check_spacing_from(self.spacing_from)
        if not _COLLECTION_NAME.fullmatch(self.name):
            raise HermesError(f"name {quoted(self.name)} of the collection: use letters, digits, '_' and '-' only")
        check_file_name(self.name, "name of the collection:")
        check_id(self.into, "id of the collection")
        if not self.members:
            raise HermesError("a merge without members: name at least one, for example 301:CT")
        for modality in self.new_modalities:
            check_word(modality, "new modality")
        for member in self.members:
            for modality in member.modalities:
                _check_modality(modality, self.new_modalities, f"member {member.dataset}")
        _check_shared_tasks(self.shared_tasks)
        for group in self.may_overlap:
            if len(set(group)) < 2:
                raise HermesError(f"may_overlap names {list(group)} alone: give two names or more that may overlap")

    @property
    def dataset_name(self) -> str:
        return f"Dataset{self.into:03d}_{self.name}"

    def sharing(self, members: Sequence[str]) -> tuple[str, ...]:
        """Those of the collection's members that share patients.

        Raises:
            HermesError: there is no such member, or one alone.
        """
        if isinstance(self.shared_patients, bool):
            return tuple(members) if self.shared_patients else ()
        for name in self.shared_patients:
            if name not in members:
                raise HermesError(
                    f"shared_patients names '{name}'{did_you_mean(name, members)}: the members are {listed(members)}"
                )
        if len(set(self.shared_patients)) == 1:
            raise HermesError(f"shared_patients names {self.shared_patients[0]} alone: name two members or more")
        return tuple(self.shared_patients)


def member_from_word(word: str) -> MemberSpecification:
    """A member as the command line names it: 301:CT or Dataset301_HeadNeckCord:CT.

    Raises:
        HermesError: the word has another form.
    """
    dataset, _, modality = word.partition(":")
    if not dataset or not modality:
        raise HermesError(f"member '{word}': write the data set and its modality, for example 301:CT")
    return MemberSpecification(dataset=int(dataset) if dataset.isdecimal() else dataset, modality=modality)


def check_id(number: int, what: str) -> None:
    """Raises: HermesError where nnU-Net has no such id."""
    if not 1 <= number <= LARGEST_ID:
        raise HermesError(f"{what} {number}: give an id from 1 to {LARGEST_ID}")


def check_word(word: str, what: str) -> None:
    """Raises: HermesError where `word` cannot be a part of a case's name."""
    if not _WORD.fullmatch(word) or "__" in word:
        raise HermesError(
            f"{what} {quoted(word)}: use letters, digits, '_', '-', '+' and '.', no '__', and no '_' at either end"
        )
    check_file_name(word, what)


def check_task_word(word: str, what: str, remedy: str) -> None:
    """Raises: HermesError where `word` cannot be a task's name, or the label's part of it."""
    if not word or "/" in word or "__" in word:
        raise HermesError(f"{what} {quoted(word)} must not be empty nor hold '/' or '__': {remedy}")
    check_task_name(word, what)


def _check_pattern(pattern: str, what: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise HermesError(f"{what} '{pattern}' of {where} is not a regular expression: {error}") from None


def _check_channels(channels: Mapping[int | str, str], where: str) -> None:
    if not channels:
        raise HermesError(f"channels of {where} is empty: name at least one channel and its modality")
    for modality, count in Counter(channels.values()).items():
        if count > 1:
            raise HermesError(f"channels of {where} name the modality {modality} {count} times: once each")


def _check_modality(modality: str, new: Sequence[str], where: str) -> None:
    known = (*KNOWN_MODALITIES, *new)
    if modality not in known:
        raise HermesError(
            f"modality '{modality}' of {where} is not known{did_you_mean(modality, known)}: the known are "
            f"{', '.join(known)}; add it on purpose with --new-modality {modality}"
        )


def _check_shared_tasks(shared_tasks: Mapping[str, Sequence[str]]) -> None:
    first_use: dict[str, str] = {}
    for name, labels in shared_tasks.items():
        check_task_word(name, "shared task", "choose another name")
        if name in RESERVED_LABELS:
            raise HermesError(f"shared task '{name}': nnU-Net needs this name for itself, choose another")
        for label in labels:
            if first_use.get(label) == name:
                raise HermesError(f"shared task '{name}' names {label} twice: a task is not shared with itself")
            if label in first_use:
                raise HermesError(f"shared tasks '{first_use[label]}' and '{name}' both name {label}: choose one")
            first_use[label] = name
        if len(labels) < 2:
            raise HermesError(f"shared task '{name}' names {len(labels)} label: a task is shared by two or more")
        members = Counter(label.partition("/")[0] for label in labels)
        for member, count in members.items():
            if count > 1:
                raise HermesError(f"shared task '{name}' names {count} labels of member {member}: one a member")
