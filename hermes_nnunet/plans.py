"""The `hermes` block of a plans file: all that the network, training and prediction need beside nnU-Net's own keys."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.additions import AddedMember, BaseReference, modality_rows
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
from hermes_nnunet.overrides import MODALITY_VARIABLE, modality_override
from hermes_nnunet.schema import OURS, Flag, Number, Text, Whole, checked_by, must_be, shaped_as
from hermes_nnunet.voxel_orders import OUR_ORDER, turn_of

PLANS_REMEDY = "plan the collection with 'nnUNetv2_plan_and_preprocess -d ID -pl HermesPlanner -c 3d_fullres'"

# Low and high.
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]
Rows = Annotated[Whole, Field(ge=1)]
Channel = Annotated[Whole, Field(ge=0)]

VoxelOrder = Annotated[Text, checked_by(turn_of)]


class _Clipped(TypedDict):
    range: Bounds
    channels: NotRequired[Annotated[list[Channel], Field(min_length=1)]]

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
    must_be("range: [low, high], which may have mean: and std:, and channels:, beside it, or percentiles: [low, high]"),
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
    # `planning.modality.classifier` has the schema.
    modality_classifier: Annotated[dict[str, Any], shaped_as(dict[Text, Any])] | None = None
    unknown_copies: Flag = False
    # Only models that an addition has been put into, and collections that extend a base.
    additions: tuple[AddedMember, ...] = ()
    base: BaseReference | None = None

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class HermesPlans:
    """The `hermes` block of a plans file.

    Attributes:
        tasks: names of the rows of the task pool.
        modalities: names of the rows of the modality pool, "unknown" last.
        members: the collection's members that annotate anything.
        context: what the network is told at prediction; in a view the member's, else every task, and "unknown" unless
            all members have one modality.
        context_channels: modality -> channel to take of a prediction's input; None where it has the model's channels.
        intensity_clipping: modality (or "default") -> {"range": [low, high]} or {"percentiles": [low, high]}. With a
            range also "mean" and "std", where all images are normalised alike instead of each by its own, and
            "channels", where it is not for all channels of an image: the others have the default rule.
        rows_per_case: rows to which every case is padded in training. Networks whose null rows take part in the
            attention are not padded so (see `ContextualNetwork.rows_of`); theirs is the most that a case can have.
        voxel_order: in which the network sees the images of the context; RAS but for imported weights.
        voxel_orders: the same of each member whose context the model can be told; RAS for a member that is not there.
        modality_classifier: numbers that tell the modality of an image, see planning.modality.classifier; None where
            there are none, or it is not to be told from the image.
        unknown_copies: also preprocess every image by the default rule of intensities, where its modality has another:
            what a training with `unknown_modality_share` needs.
        additions: what additions have brought into the model. Its modalities have more rows then: see `modality_rows`.
        base: of a collection that an addition is to be trained on.
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
    modality_classifier: dict[str, Any] | None = None
    unknown_copies: bool = False
    additions: tuple[AddedMember, ...] = ()
    base: BaseReference | None = None

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
        # Images without labels teach no task, so there is nothing to predict for their member.
        members = {name: member for name, member in collection.members.items() if member.tasks}
        used = _modalities_of(members)
        modality = used.pop() if len(used) == 1 else collection.modalities[-1]
        return cls(
            tasks=collection.task_names,
            modalities=collection.modalities,
            members=members,
            context=Context(collection.task_names, modality),
            context_channels={},
            intensity_clipping=intensity_clipping,
            rows_per_case=_most_tasks(members) if rows_per_case is None else rows_per_case,
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

    def parts_of(self, context: Context) -> list[tuple[Context, str]]:
        """The context, cut into those of the base and of each addition; and the voxel order of each."""
        owner = {task: addition.member for addition in self.additions for task in addition.tasks}
        tasks: dict[str | None, list[str]] = {}
        for task in context.tasks:
            tasks.setdefault(owner.get(task), []).append(task)
        if len(tasks) < 2:
            return [(context, self.voxel_order)]
        return [(replace(context, tasks=tuple(own)), self._order_of(name)) for name, own in tasks.items()]

    def _order_of(self, addition: str | None) -> str:
        return self.voxel_order if addition is None else self.voxel_orders.get(addition, OUR_ORDER)

    @property
    def modality_row_names(self) -> tuple[str, ...]:
        """A name for each row of the modality pool; one that an addition has brought says so."""
        rows = modality_rows(self.modalities, self.additions)
        return tuple(name if owner is None else f"{name} ({owner})" for owner, name in rows)

    def known_modalities(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Modalities of which the base knows something, or an addition that has brought any of the tasks."""
        others = [addition for addition in self.additions if not set(addition.tasks).intersection(tasks)]
        own = {word for addition in self.additions if addition not in others for word in addition.new_modalities}
        unknown = {word for addition in others for word in addition.new_modalities} - own
        return tuple(word for word in self.modalities if word not in unknown)

    def addition_of(self, member: str) -> str | None:
        """The member itself, if an addition has brought it."""
        return member if any(addition.member == member for addition in self.additions) else None

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
        return replace(self, context=context, voxel_order=self.order_of_images(context.modality))

    def order_of_images(self, modality: str) -> str:
        """The voxel order of the base's members that know a modality, where they have one in common, or the context's.

        Members that an addition has brought do not count.
        """
        knowing = (
            name for name, member in self.members.items() if modality in member.channels and not self.addition_of(name)
        )
        orders = {self.voxel_orders.get(name, OUR_ORDER) for name in knowing}
        return orders.pop() if len(orders) == 1 else self.voxel_order

    def with_modality_override(self) -> "HermesPlans":
        """The same plans with the modality that the environment variable HERMES_MODALITY names, if it is set.

        Raises:
            HermesError: the model does not know that modality.
        """
        modality = modality_override()
        if modality is None:
            return self
        known = self.known_modalities(self.context.tasks)
        if modality not in known:
            raise HermesError(
                f"{MODALITY_VARIABLE}={modality} is not a modality of this model: choose one of {', '.join(known)}, or "
                f"unset {MODALITY_VARIABLE}"
            )
        return replace(self, context=replace(self.context, modality=modality))

    @property
    def notice_of_unnamed_modality(self) -> str | None:
        """What to tell who predicts with "unknown", which no member has, without having said so; None otherwise."""
        known = _modalities_of(self.members)
        if modality_override() or self.context.modality != UNKNOWN_MODALITY or UNKNOWN_MODALITY in known:
            return None
        if self.finds_modality:
            return f"The modality of each image is found by its looks; {MODALITY_VARIABLE} names it instead"
        names = ", ".join(name for name in self.modalities if name in known)
        return (
            "The modality of the images is not named, and these plans lack what it is found by (a modality_classifier "
            "of all members, which older releases and their additions do not bring, nor single slices), so less is "
            "found in them, or nothing: "
            f"set {MODALITY_VARIABLE} to what they are ({names})"
        )

    @property
    def finds_modality(self) -> bool:
        """Whether a prediction with the plans' context finds the modality of each image by itself."""
        unnamed = self.context.modality == UNKNOWN_MODALITY and modality_override() is None
        return unnamed and len(_modalities_of(self.members)) > 1 and self.can_find_modality

    @property
    def can_find_modality(self) -> bool:
        """Whether it is known what the images of all members look like."""
        if self.modality_classifier is None:
            return False
        measured = {look.get("member") for look in self.modality_classifier.get("looks", [])}
        features = tuple(self.modality_classifier.get("features") or ())
        measured |= {own.member for own in self.additions if own.looks and own.looks.features == features}
        return self.members.keys() <= measured

    @property
    def notice_of_voxel_orders(self) -> str | None:
        """What to tell who predicts the tasks of several members, which were trained in several orders; else None."""
        others = {}
        for name, member in self.members.items():
            if self.addition_of(name):
                continue  # run by themselves, in their own order
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
            **({} if self.modality_classifier is None else {"modality_classifier": self.modality_classifier}),
            **({"unknown_copies": True} if self.unknown_copies else {}),
            **({"additions": [addition.to_json() for addition in self.additions]} if self.additions else {}),
            **({"base": asdict(self.base)} if self.base else {}),
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
        for place, addition in enumerate(block.additions):
            named.append((f"additions[{place}].tasks", "task", addition.tasks, block.tasks))
            named.append((f"additions[{place}].new_modalities", "modality", addition.new_modalities, block.modalities))
        check_members(block.members, block.tasks, where, PLANS_REMEDY)
        check_known(named, where, PLANS_REMEDY)
        for place, addition in enumerate(block.additions):
            member = block.members.get(addition.member)
            if addition.looks is not None and not (member and addition.looks.are_of(member)):
                raise HermesError(
                    f"{where}: hermes.additions[{place}].looks are not those of {addition.member}: {PLANS_REMEDY}"
                )
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
            modality_classifier=block.modality_classifier,
            unknown_copies=block.unknown_copies,
            additions=block.additions,
            base=block.base,
        )


def _most_tasks(members: Mapping[str, Member]) -> int:
    return max(len(member.tasks) for member in members.values())


def _modalities_of(members: Mapping[str, Member]) -> set[str]:
    return {modality for member in members.values() for modality in member.modalities}
