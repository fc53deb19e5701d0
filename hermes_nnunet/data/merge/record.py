"""hermes_merge.json: what a collection was made from, so that a second run knows what has changed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.data.merge.sources import SourceMember
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import OURS, WITH_MORE, Flag, Text, Whole, must_be, shaped_as, versioned

RECORD_FILE = "hermes_merge.json"
FORMAT_VERSION = 1

_ABSENT = object()
# Of a specification: all else of it that changes what is written of a case is in stamps and values.
_SPACING_FROM = "spacing_from"

# Reference, size in bytes and time of last change (ns) of a file.
Stamp = Annotated[list[Text | Whole], must_be("[reference, bytes, time of last change]")]


class _MemberSpecification(TypedDict):
    dataset: Text

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Specification(TypedDict):
    members: list[_MemberSpecification]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


@dataclass(frozen=True)
class MergeRecord:
    """What a collection was made from.

    Attributes:
        specification: normalised, as JSON: equal for merges that mean the same.
        values: member -> own value (as text) -> value of the collection.
        cases: case of the collection -> stamps of its images, then of its label file.
        hashes: case of the collection -> hash of each image's content; a case is missing as long as nobody has read it.
        complete: False from the first to the last change of a collection that was there before: only the label files
            of `cases` are as this record says then, and dataset.json may be of either version.
        annotated: case of the collection -> tasks that it annotates, where these are not all of its member's.
    """

    specification: Annotated[dict[str, Any], shaped_as(_Specification)]
    values: dict[Text, dict[Text, Whole]]
    cases: dict[Text, list[Stamp]]
    # Releases that did not compare images wrote no hashes, and older ones no mark.
    hashes: dict[Text, list[Text]] = field(default_factory=dict)
    complete: Flag = True
    annotated: dict[Text, list[Text]] = field(default_factory=dict)

    __pydantic_config__ = OURS

    def write(self, folder: Path) -> None:
        content = {"format_version": FORMAT_VERSION, **vars(self)}
        if not self.annotated:
            del content["annotated"]
        write_json(content, folder / RECORD_FILE)

    def says_the_same(self, other: "MergeRecord", case: str, member: str) -> bool:
        """Whether a case of a member would be written with the same content."""
        return case in self.cases and self.made_from(case, member) == other.made_from(case, member)

    def made_from(self, case: str, member: str) -> list[Any]:
        """All that decides the content of a case of a member."""
        return [
            self.cases.get(case),
            self.values.get(member),
            # Else a label file may hold what its case is no longer said to annotate.
            self.annotated.get(case),
            self.specification.get(_SPACING_FROM),
        ]


def read_record(folder: Path, remedy: str) -> MergeRecord:
    """The record in the folder of a collection.

    Raises:
        HermesError: there is none, or this release cannot read it; the message ends with `remedy`.
    """
    path = folder / RECORD_FILE
    return versioned(MergeRecord, read_json(path, remedy), FORMAT_VERSION, str(path), remedy)


def check_whole(collection: Path) -> None:
    """See that no merge was cut short while it changed a collection, before anything of it is read.

    Args:
        collection: its folder in nnUNet_raw; one that is not there is whole.

    Raises:
        HermesError: its label files and its dataset.json may be of two versions.
    """
    remedy = "run the merge again"
    if (collection / RECORD_FILE).is_file() and not read_record(collection, remedy).complete:
        raise HermesError(
            f"a merge was cut short while it changed {collection}, whose label files and dataset.json may be of two "
            f"versions: {remedy}"
        )


def normalised_specification(specification: MergeSpecification, members: Sequence[SourceMember]) -> dict[str, Any]:
    """The specification as JSON, with defaults filled in and without what changes nothing."""
    return {
        "name": specification.name,
        "into": specification.into,
        "members": [
            {
                "dataset": member.dataset_name,
                "name": member.name,
                "channels": [list(channel) for channel in member.channels.items()],
                **_where_given("modality_patterns", dict(member.specification.modality_patterns)),
                "labels": {own: new for own, new in member.specification.labels.items() if own != new},
                "sampling_weight": member.specification.sampling_weight,
                "patient_pattern": member.specification.patient_pattern,
                **_where_given("absent", _listed(member.specification.absent)),
                **_where_given("unlabelled", member.is_unlabelled),
            }
            for member in members
        ],
        "shared_tasks": {task: list(labels) for task, labels in specification.shared_tasks.items()},
        **_where_given("may_overlap", [list(group) for group in specification.may_overlap]),
        **_where_given("shared_patients", sorted(specification.sharing([member.name for member in members]))),
        **_where_given(_SPACING_FROM, specification.spacing_from),
    }


def _where_given(key: str, value: Any) -> dict[str, Any]:
    # No key without a value: a collection of a release that had none stays the same merge.
    return {key: value} if value else {}


def _listed(absent: Sequence[str]) -> str | list[str]:
    return absent if isinstance(absent, str) else list(absent)


def specification_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two normalised specifications, in words."""
    found = _differences(_by_dataset(old), _by_dataset(new))
    return found if found or old == new else ["the order of members"]


def _by_dataset(specification: dict[str, Any]) -> dict[str, Any]:
    return {**specification, "members": {member["dataset"]: member for member in specification["members"]}}


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        parts = [(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{where}.{key}".lstrip(".")) for key in keys]
        return [difference for part in parts for difference in _differences(*part)]
    if old == new:
        return []
    if new is _ABSENT:
        return [f"{where} is left out now"]
    return [f"{where} is new"] if old is _ABSENT else [f"{where} was {old!r}, is {new!r}"]


def stamp(path: Path, reference: str) -> Stamp:
    """Stamp of a file that is called `reference` in the collection."""
    status = os.stat(path)
    return [reference, status.st_size, status.st_mtime_ns]
