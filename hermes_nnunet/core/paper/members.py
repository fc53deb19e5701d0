"""Tables of members: the paper's own, and a user's for weights of other data sets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.wording import did_you_mean
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name
from hermes_nnunet.voxel_orders import OUR_ORDER, turn_of

FORMAT_VERSION = 1
INTENSITY_PROBABILITY = 0.1
PAPER_MEMBERS_FILE = Path(__file__).parent / "members.yaml"
TABLE_KEYS = ("format_version", "rows_per_case", "voxel_order", "modalities", "members")
MEMBER_KEYS = (
    "dataset",
    "modality",
    "sampling_weight",
    "intensity_probability",
    "voxel_order",
    "first_row",
    "tasks_of",
    "labels",
)


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
    content = _load(Path(path))
    _check_keys(content, TABLE_KEYS, str(path))
    if content.get("format_version") != FORMAT_VERSION:
        raise HermesError(
            f"{path}: format_version is {content.get('format_version')}, this release reads {FORMAT_VERSION}: write "
            f"'format_version: {FORMAT_VERSION}' and the keys that {PAPER_MEMBERS_FILE} explains"
        )
    entries = content.get("members")
    if not isinstance(entries, dict) or not entries:
        raise HermesError(f"{path}: members must map names to tables with dataset:, modality: and labels:")
    voxel_order = _voxel_order(content, OUR_ORDER, str(path))
    members: dict[str, PaperMember] = {}
    next_row = 0
    for name, entry in entries.items():
        members[name] = _member(str(name), entry, members, next_row, voxel_order, f"{path}: member {name}")
        next_row = max(next_row, max(members[name].rows) + 1)
    modalities = _modalities(content.get("modalities"), members, str(path))
    most = max(len(member.labels) for member in members.values())
    rows_per_case = content.get("rows_per_case")
    if rows_per_case is not None and (not isinstance(rows_per_case, int) or rows_per_case < most):
        raise HermesError(
            f"{path}: rows_per_case is {rows_per_case}, but a member has {most} labels: give {most} or more"
        )
    return MemberTable(members, modalities, rows_per_case, voxel_order)


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise HermesError(f"{path} cannot be read ({error}): give the YAML file of the members") from None
    except yaml.YAMLError as error:
        raise HermesError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def _member(
    name: str, entry: Any, before: Mapping[str, PaperMember], next_row: int, voxel_order: str, where: str
) -> PaperMember:
    _check_keys(entry, MEMBER_KEYS, where)
    labels = tuple(_texts(entry, "labels", where))
    if len(set(labels)) < len(labels):
        raise HermesError(f"{where}: a label stands twice in labels: give every label a name of its own")
    owner = entry.get("tasks_of", name)
    first_row = entry.get("first_row")
    if owner != name:
        if owner not in before:
            raise HermesError(f"{where}: tasks_of names '{owner}', which must be a member listed before")
        foreign = [label for label in labels if label not in before[owner].labels]
        if foreign:
            raise HermesError(f"{where}: {owner} has no label '{foreign[0]}' to share: leave it out, or tasks_of")
        row_of = dict(zip(before[owner].labels, before[owner].rows, strict=True))
        rows = tuple(row_of[label] for label in labels)
        if first_row not in (None, rows[0]):
            raise HermesError(f"{where}: first_row is {first_row}, but {owner} has '{labels[0]}' in row {rows[0]}")
    else:
        first_row = next_row if first_row is None else first_row
        if not isinstance(first_row, int) or first_row < next_row:
            raise HermesError(
                f"{where}: first_row is {first_row}, but the rows before {next_row} belong to members above it"
            )
        rows = tuple(range(first_row, first_row + len(labels)))
    dataset = str(entry.get("dataset", name))
    check_file_name(name, f"{where}: name")
    check_file_name(dataset, f"{where}: dataset")
    for label in labels:
        check_file_name(label, f"{where}: label")
    weight = entry.get("sampling_weight", 1.0)
    if not isinstance(weight, int | float) or weight <= 0:
        raise HermesError(f"{where}: sampling_weight is {weight}: give a number above 0")
    probability = entry.get("intensity_probability", INTENSITY_PROBABILITY)
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise HermesError(f"{where}: intensity_probability is {probability}: give a number from 0 to 1")
    modality = entry.get("modality")
    return PaperMember(
        name=name,
        dataset=dataset,
        modalities=tuple(_texts(entry, "modality", where) if isinstance(modality, list) else (str(modality),)),
        labels=labels,
        tasks=tuple(f"{owner}/{label}" for label in labels),
        rows=rows,
        sampling_weight=float(weight),
        intensity_probability=float(probability),
        voxel_order=_voxel_order(entry, voxel_order, where),
    )


def _voxel_order(entry: Mapping[str, Any], default: str, where: str) -> str:
    order = str(entry.get("voxel_order", default))
    try:
        turn_of(order)
    except HermesError as error:
        raise HermesError(f"{where}: {error}") from None
    return order


def _modalities(listed: Any, members: Mapping[str, PaperMember], where: str) -> tuple[str, ...]:
    """Rows of the modality pool: as listed, or in order of appearance; "unknown" is the last."""
    used = [modality for member in members.values() for modality in member.modalities]
    modalities = tuple(dict.fromkeys([*used, UNKNOWN_MODALITY])) if listed is None else tuple(listed)
    if listed is None:
        modalities = (*(name for name in modalities if name != UNKNOWN_MODALITY), UNKNOWN_MODALITY)
    for modality in modalities:
        check_file_name(modality, f"{where}: modality")
    if modalities[-1] != UNKNOWN_MODALITY:
        raise HermesError(f"{where}: the last of modalities is '{modalities[-1]}', it must be '{UNKNOWN_MODALITY}'")
    missing = [modality for modality in used if modality not in modalities]
    if missing:
        raise HermesError(f"{where}: a member's modality '{missing[0]}' is not among modalities: add its row")
    return modalities


def _check_keys(entry: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(entry, dict):
        raise HermesError(f"{where}: expected keys and values, {', '.join(known)}")
    for key in entry:
        if key not in known:
            raise HermesError(f"{where}: unknown key '{key}'{did_you_mean(str(key), known)}")


def _texts(entry: Mapping[str, Any], key: str, where: str) -> list[str]:
    values = entry.get(key)
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise HermesError(f"{where}: {key} must be a list of names")
    return values
