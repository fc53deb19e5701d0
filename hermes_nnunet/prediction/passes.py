"""Which contexts the network is told for the tasks or members that a person wants."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, UNKNOWN_MODALITY, Context, Task
from hermes_nnunet.core.expected_dice import EXPECTED_DICE, ExpectedOfTasks
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.core.wording import did_you_mean, left_out_line, listed
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.overrides import MODALITY_VARIABLE, all_modalities_override, modality_override
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.covering import fewest_members, knows
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.names import match_member, match_task


@dataclass(frozen=True)
class Pass:
    """One run of the network over an image, with all tasks of some members as its context.

    Attributes:
        members: their names.
        labels: the tasks of the context that are wanted, an output channel each.
        hermes_plans: those of the universal model, with the context of this pass.
        image_channels: files of a case that has the members' channels.
        expected_dice: of its labels, where it is known.
    """

    members: tuple[str, ...]
    labels: tuple[Label, ...]
    hermes_plans: HermesPlans
    image_channels: int
    expected_dice: ExpectedOfTasks = field(default_factory=dict)

    @property
    def context(self) -> Context:
        return self.hermes_plans.context

    @property
    def channel(self) -> int | None:
        """The channel that is taken of an image with the member's channels; None where the network takes all."""
        return self.hermes_plans.context_channels.get(self.context.modality)

    def to_json(self) -> dict[str, Any]:
        """`member` of a pass with one member's context, `members` of one with those of several."""
        whose = {"member": self.members[0]} if len(self.members) == 1 else {"members": list(self.members)}
        told = {**whose, "modality": self.context.modality, "tasks": list(self.context.tasks)}
        expected = {task: dice.to_json() for task, dice in self.expected_dice.items()}
        return {**told, EXPECTED_DICE: expected} if expected else told

    def plans(self, model: ModelFolder) -> dict[str, Any]:
        """Content of plans.json with this context."""
        return {**model.plans, HERMES_BLOCK: self.hermes_plans.to_block()}

    def dataset_json(self, model: ModelFolder) -> dict[str, Any]:
        """Content of dataset.json with a label for each channel."""
        labels: dict[str, Any] = {"background": 0}
        labels |= {
            label.name: list(label.values) if len(label.values) > 1 else label.values[0] for label in self.labels
        }
        return {
            "channel_names": model.dataset_json["channel_names"],
            "labels": labels,
            "regions_class_order": [label.value for label in self.labels],
            "file_ending": model.file_ending,
        }


@dataclass(frozen=True)
class Choice:
    """What is segmented: passes over each image, the labels of all of them, and lines that people should read."""

    passes: tuple[Pass, ...]
    warnings: tuple[str, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        """Of all passes, one for each task."""
        named: dict[str, Label] = {}
        for one in self.passes:
            for label in one.labels:
                named.setdefault(label.name, label)
        return tuple(named.values())

    @property
    def expected_dice(self) -> ExpectedOfTasks:
        """Of the labels, where it is known."""
        return {task: dice for one in reversed(self.passes) for task, dice in one.expected_dice.items()}


def choose(
    model: ModelFolder,
    *,
    members: Sequence[str] = (),
    tasks: Sequence[str] = (),
    everything: bool = False,
    all_modalities: bool = False,
    modality: str | None = None,
) -> Choice:
    """Passes for members, for tasks, or for everything that the model knows; at most one of the three is given.

    A member is a pass with all its tasks. Tasks and everything take one pass for each modality: its context is all
    tasks of the fewest members that have the wanted ones, because in training the network was told no less than all
    tasks of a member; those that are not wanted are not shown. Without a wish, a model of one member gives that member.

    A network whose padded rows take part, as the paper's, was trained with as many rows as one member has: there every
    member is a pass of its own. So is one that an addition has brought.

    A single member has its own label values, all else those of the collection.

    Args:
        all_modalities: with `everything`, also tasks that never saw the modality.
        modality: of the image; None takes each member's own.

    Raises:
        UsageError: several of the three are given, or `all_modalities` without `everything`.
        HermesError: a name is not known, nothing was chosen of a model with several members, or it has none.
    """
    if (bool(members), bool(tasks), everything).count(True) > 1:
        raise UsageError("ask for members, for tasks, or for everything, not for several of these")
    if all_modalities and not everything:
        raise UsageError("all modalities go with everything: members and tasks that are named are never left out")
    names = list(model.members)
    if not names:
        raise HermesError(
            f"{model.path} was imported without its members, so what to tell the network is not known: import it again "
            "with --members FILE, or run every task at once with nnUNetv2_predict"
        )
    if modality is not None:
        _check_modality(modality, model.hermes_plans.modalities)
    left_out = _left_out(model, modality, all_modalities=all_modalities) if everything else ()
    if tasks or everything:
        wanted = {match_task(task, model.tasks) for task in tasks} or set(model.tasks).difference(left_out)
        groups = _groups(model, wanted, modality)
    else:
        if not members and len(names) > 1:
            raise HermesError(
                f"the model has the members {listed(names)}: name some (--member), or tasks (--tasks), or take all "
                "(--all)"
            )
        groups = [[name] for name in dict.fromkeys(match_member(member, names) for member in members)] or [names]
        wanted = {task for (name,) in groups for task in model.members[name].tasks}
    chosen = [name for group in groups for name in group]
    values_of = _values(model, None if tasks or everything else chosen)
    owner = _owners(model, chosen, modality)
    warnings = list(_warnings(model, chosen, modality, named=bool(members)))
    expected: Mapping[str, ExpectedOfTasks] = {}
    try:
        expected = model.expected_dice
    except HermesError as error:
        warnings.append(f"what Dice to expect is not known: {error}")
    passes = (_pass(model, group, wanted, owner, values_of, expected, modality) for group in groups)
    if left_out:
        warnings.append(left_out_line(left_out, str(modality), "--all-modalities (all_modalities=True in Python)"))
    return Choice(tuple(one for one in passes if one.labels), tuple(warnings))


def wanted_modality(modality: str | None) -> str | None:
    """The modality that a person names, or else that of the environment variable HERMES_MODALITY, if it is set.

    Raises:
        HermesError: the two differ.
    """
    of_environment = modality_override()
    if modality is not None and of_environment not in (None, modality):
        raise HermesError(
            f"{MODALITY_VARIABLE}={of_environment}, but the modality {modality} is asked for: unset the variable"
        )
    return modality or of_environment


def _left_out(model: ModelFolder, modality: str | None, *, all_modalities: bool) -> tuple[str, ...]:
    """What a prediction of everything does not ask for."""
    if modality is None or all_modalities or all_modalities_override():
        return ()
    return model.hermes_plans.unseen(modality)


def _groups(model: ModelFolder, wanted: AbstractSet[str], modality: str | None) -> list[list[str]]:
    """Members that have the wanted tasks, in groups that share a pass."""
    chosen = fewest_members(model.members, wanted, modality, merged=model.merges_members)
    if not model.merges_members:
        return [[name] for name in chosen]
    groups: dict[tuple[str, str | None], list[str]] = {}
    for name in chosen:
        # The adapters of an addition are for its tasks only.
        key = modality or model.members[name].modalities[0], model.hermes_plans.addition_of(name)
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _owners(model: ModelFolder, chosen: Sequence[str], modality: str | None) -> dict[str, str]:
    """The member of each task; of a task that several have, the first that knows the modality."""
    owner: dict[str, str] = {}
    for name in sorted(chosen, key=lambda name: not knows(model.members[name], modality)):
        for task in model.members[name].tasks:
            owner.setdefault(task, name)
    return owner


def _values(model: ModelFolder, members: Sequence[str] | None) -> dict[str, Task]:
    if model.collection is None or (members is not None and len(members) == 1):
        (member,) = members or model.members
        return {task.name: task for task in model.own_labels(member)}
    return {task.name: task for task in model.collection.tasks}


def _pass(
    model: ModelFolder,
    members: Sequence[str],
    wanted: AbstractSet[str],
    owner: Mapping[str, str],
    values_of: Mapping[str, Task],
    expected: Mapping[str, ExpectedOfTasks],
    modality: str | None,
) -> Pass:
    # A pass is told its modality.
    hermes_plans = replace(model.hermes_plans.of_members(members, modality), modality_classifier=None)
    labels = tuple(
        Label(
            name=task,
            value=values_of[task].written_value,
            values=tuple(values_of[task].values),
            member=owner[task],
            colour=colour_of(hermes_plans.tasks.index(task)),
        )
        for task in hermes_plans.context.tasks
        if task in wanted and owner[task] in members
    )
    # Of images of another modality nothing is to be expected.
    seen = [label for label in labels if hermes_plans.context.modality in model.members[label.member].modalities]
    known = {label.name: expected.get(label.member, {}).get(label.name) for label in seen}
    dice = {task: own for task, own in known.items() if own is not None}
    return Pass(tuple(members), labels, hermes_plans, _image_channels(model, members, hermes_plans), dice)


def _image_channels(model: ModelFolder, members: Sequence[str], hermes_plans: HermesPlans) -> int:
    modality = hermes_plans.context.modality
    if hermes_plans.context_channels.get(modality) is None:
        return model.image_channels
    knowing = next(model.members[name] for name in members if modality in model.members[name].channels)
    return len(knowing.channel_names)


def _check_modality(modality: str, known: Sequence[str]) -> None:
    if modality not in known:
        raise HermesError(
            f"modality '{modality}' was never trained{did_you_mean(modality, known)}: the model knows "
            f"{listed(known[:-1])}; choose one of them, or '{UNKNOWN_MODALITY}'"
        )


def _warnings(model: ModelFolder, chosen: Sequence[str], modality: str | None, *, named: bool) -> Iterator[str]:
    members = [model.members[name] for name in chosen]
    if modality is None:
        trained = {known for member in (members if named else model.members.values()) for known in member.modalities}
        if len(trained) > 1:
            taken = listed(f"{member.modalities[0]} ({member.name})" for member in members)
            lacking = (
                ""
                if model.hermes_plans.can_find_modality
                else (", which the plans of this model do not tell how to find")
            )
            yield (
                f"the images are taken for {taken}: name their modality with --modality if they are of another{lacking}"
            )
        return
    others = [f"{member.name} ({listed(member.modalities)})" for member in members if modality not in member.modalities]
    if others:
        yield f"no {modality} was among the training images of {listed(others)}: check the result"
