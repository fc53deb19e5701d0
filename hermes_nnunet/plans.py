"""The `hermes` block of a plans file: all that the network, training and prediction need beside nnU-Net's own keys."""

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from hermes_nnunet.collection import (
    FORMAT_VERSION,
    UNKNOWN_MODALITY,
    Collection,
    Context,
    Member,
    MemberName,
    ModalityName,
    TaskName,
    check_known,
    check_members,
    members_to_json,
    read_block,
)
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name
from hermes_nnunet.schema import OURS, Number, Text, Whole, checked_by, must_be, shaped_as
from hermes_nnunet.voxel_orders import OUR_ORDER, turn_of

MODALITY_VARIABLE = "HERMES_MODALITY"
ALL_MODALITIES_VARIABLE = "HERMES_ALL_MODALITIES"
_SWITCH = {"": False, "0": False, "false": False, "1": True, "true": True}
PLANS_REMEDY = "plan the collection with 'nnUNetv2_plan_and_preprocess -d ID -pl HermesPlanner -c 3d_fullres'"

# Low and high.
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]
Rows = Annotated[Whole, Field(ge=1)]


VoxelOrder = Annotated[Text, checked_by(turn_of)]


class _Clipped(TypedDict):
    range: Bounds

    __pydantic_config__ = OURS  # type: ignore[misc]


class _Normalised(_Clipped):
    mean: Number
    std: Annotated[Number, Field(gt=0)]


class _ClippedByImage(TypedDict):
    percentiles: Bounds

    __pydantic_config__ = OURS  # type: ignore[misc]


IntensityRule = Annotated[
    dict[str, Any],
    shaped_as(_Clipped | _Normalised | _ClippedByImage),
    must_be("range: [low, high], which may have mean: and std: beside it, or percentiles: [low, high]"),
]


@dataclass(frozen=True, kw_only=True)
class _ContextInBlock(Context):
    channels: dict[ModalityName, Whole | None]


@dataclass(frozen=True)
class _Block:
    """The `hermes` block as it lies in the file; the same keys as the fields of HermesPlans."""

    tasks: tuple[TaskName, ...]
    modalities: tuple[ModalityName, ...]
    context: _ContextInBlock
    intensity_clipping: dict[Text, IntensityRule]
    members: dict[MemberName, Member]
    # Earlier releases wrote none, and only imported weights have orders.
    rows_per_case: Rows | None = None
    voxel_order: VoxelOrder = OUR_ORDER
    voxel_orders: dict[Text, VoxelOrder] = field(default_factory=dict)

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class HermesPlans:
    """The `hermes` block of a plans file.

    Attributes:
        tasks: names of the rows of the task pool.
        modalities: names of the rows of the modality pool, "unknown" last.
        members: the collection's members.
        context: what the network is told at prediction; in a view the member's, else every task, and "unknown" unless
            all members have one modality.
        context_channels: modality -> channel to take of a prediction's input; None where it has the model's channels.
        intensity_clipping: modality (or "default") -> {"range": [low, high]} or {"percentiles": [low, high]}. With a
            range also "mean" and "std", where all images are normalised alike instead of each by its own.
        rows_per_case: rows to which every case is padded in training. Networks whose null rows take part in the
            attention are not padded so (see `ContextualNetwork.rows_of`); theirs is the most that a case can have.
        voxel_order: in which the network sees the images of the context; RAS but for imported weights.
        voxel_orders: the same of each member whose context the model can be told; RAS for a member that is not there.
    """

    tasks: tuple[str, ...]
    modalities: tuple[str, ...]
    members: dict[str, Member]
    context: Context
    context_channels: dict[str, int | None]
    intensity_clipping: dict[str, dict[str, Any]]
    rows_per_case: int
    voxel_order: str = OUR_ORDER
    voxel_orders: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_collection(
        cls,
        collection: Collection,
        intensity_clipping: dict[str, dict[str, Any]],
        rows_per_case: int | None = None,
    ) -> "HermesPlans":
        """Plans of a universal model, which predicts every task.

        It does so with the modality that all members have, or else with "unknown". By default a case has as many rows
        as the member with the most tasks.
        """
        used = _modalities_of(collection.members)
        modality = used.pop() if len(used) == 1 else collection.modalities[-1]
        return cls(
            tasks=collection.task_names,
            modalities=collection.modalities,
            members=collection.members,
            context=Context(collection.task_names, modality),
            context_channels={},
            intensity_clipping=intensity_clipping,
            rows_per_case=_most_tasks(collection.members) if rows_per_case is None else rows_per_case,
        )

    def of_member(self, name: str) -> "HermesPlans":
        """Plans of a member's view: the same model, the member's context."""
        member = self.members[name]
        context = Context(member.tasks, member.modalities[0])
        return replace(
            self,
            context=context,
            context_channels=dict(member.channels),
            voxel_order=self.voxel_orders.get(name, OUR_ORDER),
        )

    def of_members(self, names: Sequence[str], modality: str | None = None) -> "HermesPlans":
        """Plans of one pass with all tasks of some members; None takes the modality of the first.

        An image may have the channels of the members that know the modality, where these agree on its place in them.
        """
        plans = self.of_member(names[0])
        modality = modality or plans.context.modality
        if len(names) == 1:
            return replace(plans, context=replace(plans.context, modality=modality))
        members = [self.members[name] for name in names]
        places = {(own.channels[modality], len(own.channel_names)) for own in members if modality in own.channels}
        return replace(
            self,
            context=self.context_of({task for member in members for task in member.tasks}, modality),
            context_channels={modality: places.pop()[0]} if len(places) == 1 else {},
        )

    def context_of(self, tasks: AbstractSet[str], modality: str) -> Context:
        """A context of these tasks, in the order of the task pool, or of the member that has exactly these."""
        own = (member.tasks for member in self.members.values() if set(member.tasks) == tasks)
        return Context(next(own, tuple(task for task in self.tasks if task in tasks)), modality)

    def unseen(self, modality: str) -> tuple[str, ...]:
        """Tasks of which no member was trained on the modality, so that nothing is known of what they answer there.

        None for "unknown", and for a modality that no member was trained on: all tasks are alike there.
        """
        if modality == UNKNOWN_MODALITY:
            return ()
        seen = {task for member in self.members.values() if modality in member.channels for task in member.tasks}
        others = {task for member in self.members.values() for task in member.tasks} - seen
        return tuple(task for task in self.tasks if task in others) if seen else ()

    def without(self, tasks: Sequence[str]) -> "HermesPlans":
        """The same model without tasks that never saw the modality of the context.

        It sees the images in the voxel order of the members that know the modality, where these have one in common.
        """
        context = self.context_of(set(self.context.tasks).difference(tasks), self.context.modality)
        knowing = (name for name, member in self.members.items() if context.modality in member.channels)
        orders = {self.voxel_orders.get(name, OUR_ORDER) for name in knowing}
        return replace(self, context=context, voxel_order=orders.pop() if len(orders) == 1 else self.voxel_order)

    def with_modality_override(self) -> "HermesPlans":
        """The same plans with the modality that the environment variable HERMES_MODALITY names, if it is set.

        Raises:
            HermesError: the model does not know that modality.
        """
        modality = os.environ.get(MODALITY_VARIABLE)
        if not modality:
            return self
        if modality not in self.modalities:
            raise HermesError(
                f"{MODALITY_VARIABLE}={modality} is not a modality of this model: choose one of "
                f"{', '.join(self.modalities)}, or unset {MODALITY_VARIABLE}"
            )
        return replace(self, context=replace(self.context, modality=modality))

    @property
    def notice_of_unnamed_modality(self) -> str | None:
        """What to tell who predicts with "unknown", which no member has, without having said so; None otherwise."""
        known = _modalities_of(self.members)
        if os.environ.get(MODALITY_VARIABLE) or self.context.modality != UNKNOWN_MODALITY or UNKNOWN_MODALITY in known:
            return None
        names = ", ".join(name for name in self.modalities if name in known)
        return (
            "The modality of the images is not named, so less is found in them, or nothing: "
            f"set {MODALITY_VARIABLE} to what they are ({names})"
        )

    @property
    def notice_of_voxel_orders(self) -> str | None:
        """What to tell who predicts the tasks of several members, which were trained in several orders; else None."""
        others = {}
        for name, member in self.members.items():
            order = self.voxel_orders.get(name, OUR_ORDER)
            if member.tasks == self.context.tasks and order == self.voxel_order:
                return None
            if set(member.tasks) <= set(self.context.tasks) and order != self.voxel_order:
                others[name] = order
        if not others:
            return None
        names = ", ".join(f"{name} {order}" for name, order in others.items())
        return (
            f"The network sees the images in the voxel order {self.voxel_order}, but was trained on those of some "
            f"members in others ({names}): predict these members' tasks with their own model folders"
        )

    def to_block(self) -> dict[str, Any]:
        """The `hermes` block of the plans file."""
        # Only imported weights have orders, and only their plans the keys.
        orders = {"voxel_order": self.voxel_order, "voxel_orders": self.voxel_orders}
        return {
            "format_version": FORMAT_VERSION,
            "tasks": list(self.tasks),
            "modalities": list(self.modalities),
            "context": {**asdict(self.context), "channels": self.context_channels},
            "intensity_clipping": self.intensity_clipping,
            "rows_per_case": self.rows_per_case,
            "members": members_to_json(self.members),
            **(orders if self.has_voxel_orders else {}),
        }

    @property
    def has_voxel_orders(self) -> bool:
        """Whether the network sees any images in another order than RAS."""
        return any(order != OUR_ORDER for order in (self.voxel_order, *self.voxel_orders.values()))

    @classmethod
    def from_plans(cls, plans: Mapping[str, Any]) -> "HermesPlans":
        """Read the `hermes` block of a plans file.

        Raises:
            HermesError: there is no such block, it is of another format version or incomplete, or a name could not be
                part of a file's name.
        """
        for key in ("dataset_name", "plans_name"):
            if key in plans:
                check_file_name(plans[key], f"{key} of the plans:")
        where = f"the plans {plans.get('plans_name')} of {plans.get('dataset_name')}"
        block = read_block(_Block, plans, where, PLANS_REMEDY)
        named = [
            ("context.tasks", "task", block.context.tasks, block.tasks),
            ("context.modality", "modality", (block.context.modality,), block.modalities),
        ]
        check_members(block.members, block.tasks, where, PLANS_REMEDY)
        check_known(named, where, PLANS_REMEDY)
        return cls(
            tasks=block.tasks,
            modalities=block.modalities,
            members=block.members,
            context=Context(block.context.tasks, block.context.modality),
            context_channels=block.context.channels,
            intensity_clipping=block.intensity_clipping,
            rows_per_case=_most_tasks(block.members) if block.rows_per_case is None else block.rows_per_case,
            voxel_order=block.voxel_order,
            voxel_orders=block.voxel_orders,
        )


def all_modalities_override() -> bool:
    """Whether the environment variable HERMES_ALL_MODALITIES wants tasks that never saw the images' modality, too.

    Raises:
        HermesError: it is neither a yes nor a no.
    """
    word = os.environ.get(ALL_MODALITIES_VARIABLE, "")
    if word.lower() not in _SWITCH:
        raise HermesError(f"{ALL_MODALITIES_VARIABLE}={word} is neither 1 nor 0: set it to one of them, or unset it")
    return _SWITCH[word.lower()]


def _most_tasks(members: Mapping[str, Member]) -> int:
    return max(len(member.tasks) for member in members.values())


def _modalities_of(members: Mapping[str, Member]) -> set[str]:
    return {modality for member in members.values() for modality in member.modalities}
