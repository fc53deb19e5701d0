"""An addition as one small file: tensors of safetensors, and a header of JSON. Nothing in it runs code."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hermes_nnunet.additions import AddedMember, Rank
from hermes_nnunet.collection import DatasetName, Member, ModalityName, Task
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.files import parse_json, written_beside
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.looks import Looks
from hermes_nnunet.networks.pool_rows import adapter_of
from hermes_nnunet.plans import IntensityRule, VoxelOrder
from hermes_nnunet.schema import OURS, Number, Text, versioned
from hermes_nnunet.version import __version__
from hermes_nnunet.voxel_orders import OUR_ORDER

FORMAT_VERSION = 1
FILE_ENDING = ".hermes"
METADATA_KEY = "hermes_addition"
# Adapters are all but a hundredth of an addition. What is trained is rounded so before it is validated.
ADAPTER_TYPE = torch.float16


@dataclass(frozen=True)
class AdditionBase:
    """What a file says of the base that it is for.

    Attributes:
        weights: hash of its weights.
        dataset_name: of its collection.
        model: name of its model folder.
        fold: whose weights these are.
        spacing: in mm (z, y, x), by configuration.
        network: class and arguments of its network, by configuration.
    """

    weights: Text
    dataset_name: DatasetName
    model: Text
    fold: Text
    spacing: dict[Text, list[Number]]
    network: dict[Text, dict[Text, Any]]

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class AdditionHeader:
    """What a file says of an addition.

    Attributes:
        member: what it adds.
        tasks: its tasks, with the label values that they had in the collection that it was trained on.
        new_modalities: the member's modalities that the base does not know.
        intensity_clipping: the rule of each of the member's modalities.
        excludes: task -> tasks of the member that never have a voxel in common with it.
        rank: of the adapters.
        base: what it is for.
        looks: of the member's images; earlier releases did not write them.
        voxel_order: in which the network sees the member's images; RAS but for imported bases.
        trained_on: numbers and names of what it was trained with, for people.
        dice: mean validation Dice of each task, None where nothing was there to compare.
        dice_of_cases: what these are the means of; earlier releases did not write it.
        hermes_version: release that wrote it.
    """

    member: Member
    tasks: tuple[Task, ...]
    new_modalities: tuple[ModalityName, ...]
    intensity_clipping: dict[Text, IntensityRule]
    rank: Rank
    base: AdditionBase
    looks: Looks | None = None
    voxel_order: VoxelOrder = OUR_ORDER
    excludes: dict[Text, tuple[Text, ...]] = field(default_factory=dict)
    trained_on: dict[Text, Any] = field(default_factory=dict)
    dice: dict[Text, Number | None] = field(default_factory=dict)
    dice_of_cases: dict[Text, list[Number]] = field(default_factory=dict)
    hermes_version: Text = __version__

    __pydantic_config__ = OURS

    @property
    def name(self) -> str:
        """The member's name is the addition's."""
        return self.member.name

    @property
    def added(self) -> AddedMember:
        """What plans say of it."""
        tasks = tuple(task.name for task in self.tasks)
        return AddedMember(self.name, tasks, self.new_modalities, self.rank, self.looks)

    def to_json(self) -> str:
        """The text of the file's header."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, where: str) -> "AdditionHeader":
        """The inverse of `to_json`.

        Raises:
            HermesError: it is of another format version or damaged, or a name could not be part of a file's name.
        """
        remedy = "get the file again"
        header = versioned(cls, parse_json(text, where, remedy), FORMAT_VERSION, where, remedy, inside="header")
        try:
            header._check()
        except ValueError as error:
            raise HermesError(f"{where}: the header is damaged ({error}): {remedy}") from None
        return header

    def _check(self) -> None:
        """Raises: ValueError where it contradicts itself."""
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names) or set(names) != set(self.member.tasks):
            msg = "its tasks are not those of its member"
            raise ValueError(msg)
        if not all(value > 0 for task in self.tasks for value in (*task.values, task.written_value)):
            msg = "label values are above 0"
            raise ValueError(msg)
        if not set(self.new_modalities) <= set(self.member.modalities) <= set(self.intensity_clipping):
            msg = "its modalities are not those of its member"
            raise ValueError(msg)
        if self.looks is not None and not self.looks.are_of(self.member):
            msg = "its looks are not those of its member"
            raise ValueError(msg)
        if not {*self.excludes, *(task for others in self.excludes.values() for task in others)} <= set(names):
            msg = "excludes names other tasks"
            raise ValueError(msg)


@dataclass(frozen=True)
class Addition:
    """What a base needs to do one more member.

    Attributes:
        header: what it is.
        tensors: rows of the pools and parts of the adapters, by their names in a model where it is the only addition.
    """

    header: AdditionHeader
    tensors: Mapping[str, torch.Tensor]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; it is there whole or not at all."""
        tensors = {
            name: tensor.detach().cpu().to(torch.float32 if adapter_of(name) is None else ADAPTER_TYPE).contiguous()
            for name, tensor in self.tensors.items()
        }
        with written_beside(path) as temporary:
            # safetensors' own writer makes files that nobody else may read.
            temporary.write_bytes(save(tensors, metadata={METADATA_KEY: self.header.to_json()}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Addition":
        """Read a file; tensors are float32.

        Raises:
            HermesError: it is missing, truncated, no addition, or of another format version.
        """
        with _opened(path) as file:
            header = _header(file, path)
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        for name, tensor in tensors.items():
            if tensor.dtype not in (torch.float32, ADAPTER_TYPE):
                raise HermesError(f"{path}: {quoted(name)} is of type {tensor.dtype}: get the file again")
            if not tensor.isfinite().all():
                raise HermesError(
                    f"{path}: {quoted(name)} has values that are not finite, so nothing could be segmented with it: "
                    "get the file again, or train the addition again"
                )
        return cls(header, {name: tensor.float() for name, tensor in tensors.items()})

    def is_same_as(self, other: "Addition") -> bool:
        """Whether both are the same to the last bit."""
        return (
            self.header == other.header
            and self.tensors.keys() == other.tensors.keys()
            and all(torch.equal(tensor, other.tensors[name].to(tensor)) for name, tensor in self.tensors.items())
        )

    def with_dice(self, dice: Mapping[str, Sequence[float]]) -> "Addition":
        """The same addition with the Dice that each of its tasks reached in cases that it was not trained on."""
        means = {task: mean_of_defined(values) if values else None for task, values in dice.items()}
        of_cases = {task: list(values) for task, values in dice.items()}
        return replace(self, header=replace(self.header, dice=means, dice_of_cases=of_cases))


def notices_of_looks(additions: Iterable[AddedMember]) -> list[str]:
    """A line for each addition that does not say what its images look like."""
    return [
        f"addition {addition.member} does not say what its images look like (an older release made it, or they are "
        "single slices), so a model that has it does not find the modality of an image: name it with --modality"
        for addition in additions
        if addition.looks is None
    ]


def read_header(path: str | os.PathLike[str]) -> AdditionHeader:
    """What a file says of itself, without its tensors.

    Raises:
        HermesError: see `Addition.load`.
    """
    with _opened(path) as file:
        return _header(file, path)


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    """The values that a part of an adapter has after it was stored in a file."""
    return tensor.to(ADAPTER_TYPE).to(tensor.dtype)


def _header(file: Any, path: str | os.PathLike[str]) -> AdditionHeader:
    metadata = file.metadata() or {}
    if METADATA_KEY not in metadata:
        raise HermesError(f"{path} is no addition: give a file that Hermes wrote, with the ending {FILE_ENDING}")
    return AdditionHeader.from_json(metadata[METADATA_KEY], str(path))


def _opened(path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise HermesError(f"{path} does not exist: give the file of an addition ({FILE_ENDING})")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise HermesError(f"{path} is no addition, or not complete ({error}): get the file again") from None
