"""Tables of members: the paper's own, and a user's for weights of other data sets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.wording import did_you_mean
from hermes_nnunet.core.yaml_files import read_yaml
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name, quoted
from hermes_nnunet.schema import OURS, Number, Text, Whole, checked_by, must_be, versioned
from hermes_nnunet.voxel_orders import OUR_ORDER, turn_of

FORMAT_VERSION = 1
INTENSITY_PROBABILITY = 0.1
PAPER_MEMBERS_FILE = Path(__file__).parent / "members.yaml"
_MEMBERS = "a map of names to tables with dataset:, modality: and labels:"
REMEDY = f"{PAPER_MEMBERS_FILE} explains the keys"

_Name = Annotated[Text, checked_by(check_file_name, "name")]
_Names = Annotated[list[_Name], Field(min_length=1), must_be("a list of names", parts=False)]
_VoxelOrder = Annotated[Text, checked_by(turn_of)]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A member in the file."""

    modality: Annotated[_Name | _Names, must_be("a name or a list of names")]
    labels: _Names
    dataset: _Name | None = None
    sampling_weight: Annotated[Number, Field(gt=0), must_be("a number above 0")] = 1.0
    intensity_probability: Annotated[Number, Field(ge=0, le=1), must_be("a number from 0 to 1")] = INTENSITY_PROBABILITY
    voxel_order: _VoxelOrder | None = None
    first_row: Annotated[Whole, Field(ge=0), must_be("a number of a row, from 0")] | None = None
    tasks_of: Text | None = None

    __pydantic_config__ = OURS


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The file."""

    members: Annotated[dict[_Name, _Entry], Field(min_length=1), must_be(_MEMBERS, parts=False)]
    modalities: _Names | None = None
    rows_per_case: Whole | None = None
    voxel_order: _VoxelOrder = OUR_ORDER

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class PaperMember:
    """One data set that released weights were trained on.

    Attributes:
        name: the member's name, as in the paper.
        dataset: last part of the name of its nnU-Net folder.
        modalities: of its images; several where a patient has images of several sequences.
        labels: names in the order of the label values 1, 2, ...
        tasks: name of each label's task, `<member>/<label>`, where the member is the one that owns the tasks.
        rows: row of the released task pool of each label.
        sampling_weight: weight of a case in training.
        intensity_probability: of each change of intensity in training.
        voxel_order: of its training images, as nibabel writes it ("LPS").
    """

    name: str
    dataset: str
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: tuple[int, ...]
    sampling_weight: float
    intensity_probability: float
    voxel_order: str


@dataclass(frozen=True)
class MemberTable:
    """Members of released weights.

    Attributes:
        members: by name.
        modalities: rows of the modality pool.
        rows_per_case: to how many rows the table says that cases are padded, which they no longer are; None where it
            says nothing.
        voxel_order: of the members' images, where a member has none of its own.
    """

    members: dict[str, PaperMember]
    modalities: tuple[str, ...]
    rows_per_case: int | None
    voxel_order: str

    @property
    def most_rows(self) -> int:
        """The most rows that a case can have: the tasks of the largest member, and a null row."""
        return max(len(member.labels) for member in self.members.values()) + 1

    def __getitem__(self, name: str) -> PaperMember:
        """The member of that name.

        Raises:
            HermesError: there is none.
        """
        try:
            return self.members[name]
        except KeyError:
            raise HermesError(f"there is no member '{name}'{did_you_mean(name, self.members)}") from None


def paper_members() -> MemberTable:
    """The eleven data sets of the paper."""
    return read_member_table(PAPER_MEMBERS_FILE)


def read_member_table(path: str | os.PathLike[str]) -> MemberTable:
    """Read a table of members; hermes_nnunet/core/paper/members.yaml explains the keys.

    Raises:
        HermesError: the file is missing, is no YAML, or a key or value in it is not possible.
    """
    content = read_yaml(path, "give the YAML file of the members")
    table = versioned(_Table, content, FORMAT_VERSION, str(path), REMEDY)
    members: dict[str, PaperMember] = {}
    next_row = 0
    for name, entry in table.members.items():
        members[name] = _member(name, entry, members, next_row, table.voxel_order, f"{path}: members.{name}")
        next_row = max(next_row, max(members[name].rows) + 1)
    modalities = _modalities(table.modalities, members, str(path))
    most = max(len(member.labels) for member in members.values())
    if table.rows_per_case is not None and table.rows_per_case < most:
        raise HermesError(
            f"{path}: rows_per_case is {table.rows_per_case}, but a member has {most} labels: give {most} or more"
        )
    return MemberTable(members, modalities, table.rows_per_case, table.voxel_order)


def _member(
    name: str, entry: _Entry, before: Mapping[str, PaperMember], next_row: int, voxel_order: str, where: str
) -> PaperMember:
    labels = tuple(entry.labels)
    if len(set(labels)) < len(labels):
        raise HermesError(f"{where}: a label stands twice in labels: give every label a name of its own")
    owner, first_row = entry.tasks_of or name, entry.first_row
    if owner != name:
        if owner not in before:
            raise HermesError(f"{where}: tasks_of names {quoted(owner)}, which must be a member listed before")
        foreign = [label for label in labels if label not in before[owner].labels]
        if foreign:
            raise HermesError(f"{where}: {owner} has no label '{foreign[0]}' to share: leave it out, or tasks_of")
        row_of = dict(zip(before[owner].labels, before[owner].rows, strict=True))
        rows = tuple(row_of[label] for label in labels)
        if first_row not in (None, rows[0]):
            raise HermesError(f"{where}: first_row is {first_row}, but {owner} has '{labels[0]}' in row {rows[0]}")
    else:
        first_row = next_row if first_row is None else first_row
        if first_row < next_row:
            raise HermesError(
                f"{where}: first_row is {first_row}, but the rows before {next_row} belong to members above it"
            )
        rows = tuple(range(first_row, first_row + len(labels)))
    return PaperMember(
        name=name,
        dataset=entry.dataset or name,
        modalities=(entry.modality,) if isinstance(entry.modality, str) else tuple(entry.modality),
        labels=labels,
        tasks=tuple(f"{owner}/{label}" for label in labels),
        rows=rows,
        sampling_weight=entry.sampling_weight,
        intensity_probability=entry.intensity_probability,
        voxel_order=entry.voxel_order or voxel_order,
    )


def _modalities(listed: Sequence[str] | None, members: Mapping[str, PaperMember], where: str) -> tuple[str, ...]:
    """Rows of the modality pool: as listed, or in order of appearance; "unknown" is the last."""
    used = [modality for member in members.values() for modality in member.modalities]
    modalities = tuple(dict.fromkeys([*used, UNKNOWN_MODALITY])) if listed is None else tuple(listed)
    if listed is None:
        modalities = (*(name for name in modalities if name != UNKNOWN_MODALITY), UNKNOWN_MODALITY)
    if modalities[-1] != UNKNOWN_MODALITY:
        raise HermesError(f"{where}: the last of modalities is '{modalities[-1]}', it must be '{UNKNOWN_MODALITY}'")
    missing = [modality for modality in used if modality not in modalities]
    if missing:
        raise HermesError(f"{where}: a member's modality '{missing[0]}' is not among modalities: add its row")
    return modalities
