"""Which contexts the network is told for the tasks or members that a person wants."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, UNKNOWN_MODALITY, Context, Task
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.plans import MODALITY_VARIABLE, HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.names import match_member, match_task


@dataclass(frozen=True)
class Pass:
    """One run of the network over an image, with the context of one member.

    Attributes:
        labels: the tasks of the context that are wanted, an output channel each.
        hermes_plans: those of the member's view, with the modality of this pass.
    """

    labels: tuple[Label, ...]
    hermes_plans: HermesPlans

    @property
    def context(self) -> Context:
        return self.hermes_plans.context

    @property
    def channel(self) -> int | None:
        """The channel that is taken of an image with the member's channels; None where the network takes all."""
        return self.hermes_plans.context_channels.get(self.context.modality)

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
        return tuple(label for one in self.passes for label in one.labels)


def choose(
    model: ModelFolder,
    *,
    members: Sequence[str] = (),
    tasks: Sequence[str] = (),
    everything: bool = False,
    modality: str | None = None,
) -> Choice:
    """Passes for members, for tasks, or for everything that the model knows; at most one of the three is given.

    A member is a pass with all its tasks. For tasks, the fewest members that have them all are run, each with all its
    tasks in the context, because that is what the network was trained with; the other tasks are not shown. Without a
    wish, a model of one member gives that member.

    A single member has its own label values, all else those of the collection.

    Args:
        modality: of the image; None takes each member's own.

    Raises:
        UsageError: several of the three are given.
        HermesError: a name is not known, nothing was chosen of a model with several members, or it has none.
    """
    if (bool(members), bool(tasks), everything).count(True) > 1:
        raise UsageError("ask for members, for tasks, or for everything, not for several of these")
    names = list(model.members)
    if not names:
        raise HermesError(
            f"{model.path} was imported without its members, so what to tell the network is not known: import it again "
            "with --members FILE, or run every task at once with nnUNetv2_predict"
        )
    if modality is not None:
        _check_modality(modality, model.hermes_plans.modalities)
    if tasks:
        wanted = {match_task(task, model.tasks) for task in tasks}
        chosen = _fewest_members(model, wanted, modality)
    elif everything:
        wanted = set(model.tasks)
        chosen = _fewest_members(model, wanted, modality)
    else:
        if not members and len(names) > 1:
            raise HermesError(
                f"the model has the members {listed(names)}: name some (--member), or tasks (--tasks), or take all "
                "(--all)"
            )
        chosen = list(dict.fromkeys(match_member(member, names) for member in members)) or names
        wanted = {task for name in chosen for task in model.members[name].tasks}
    values_of = _values(model, None if tasks or everything else chosen)
    tasks_of = _share_out(model, chosen, wanted, modality)
    passes = tuple(_pass(model, name, tasks_of[name], values_of, modality) for name in chosen if tasks_of[name])
    return Choice(passes, tuple(_warnings(model, chosen, modality, named=bool(members))))


def wanted_modality(modality: str | None) -> str | None:
    """The modality that a person names, or else that of the environment variable HERMES_MODALITY, if it is set.

    Raises:
        HermesError: the two differ.
    """
    of_environment = os.environ.get(MODALITY_VARIABLE) or None
    if modality is not None and of_environment not in (None, modality):
        raise HermesError(
            f"{MODALITY_VARIABLE}={of_environment}, but the modality {modality} is asked for: unset the variable"
        )
    return modality or of_environment


def _fewest_members(model: ModelFolder, wanted: set[str], modality: str | None) -> list[str]:
    """The fewest members that have all wanted tasks; among equal choices, those that know the modality."""
    useful = {name: wanted & set(member.tasks) for name, member in model.members.items()}
    owners = Counter(task for own in useful.values() for task in own)
    needed = [name for name, own in useful.items() if any(owners[task] == 1 for task in own)]
    left = wanted.difference(*(useful[name] for name in needed))
    others = [name for name, own in useful.items() if own & left]
    others.sort(key=lambda name: not _knows(model, name, modality))
    choices = (chosen for number in range(len(others) + 1) for chosen in combinations(others, number))
    more = next(chosen for chosen in choices if left <= set().union(*(useful[name] for name in chosen)))
    return [name for name in model.members if name in needed or name in more]


def _share_out(
    model: ModelFolder, chosen: Sequence[str], wanted: set[str], modality: str | None
) -> dict[str, list[str]]:
    """Wanted tasks of each chosen member; one that several have is the first's that knows the modality."""
    owner: dict[str, str] = {}
    for name in sorted(chosen, key=lambda name: not _knows(model, name, modality)):
        for task in model.members[name].tasks:
            owner.setdefault(task, name)
    return {
        name: [task for task in model.members[name].tasks if task in wanted and owner[task] == name] for name in chosen
    }


def _knows(model: ModelFolder, member: str, modality: str | None) -> bool:
    return modality is None or modality in model.members[member].modalities


def _values(model: ModelFolder, members: Sequence[str] | None) -> dict[str, Task]:
    if model.collection is None or (members is not None and len(members) == 1):
        (member,) = members or model.members
        return {task.name: task for task in model.own_labels(member)}
    return {task.name: task for task in model.collection.tasks}


def _pass(
    model: ModelFolder, member: str, tasks: Sequence[str], values_of: dict[str, Task], modality: str | None
) -> Pass:
    hermes_plans = model.hermes_plans.of_member(member)
    if modality is not None:
        hermes_plans = replace(hermes_plans, context=replace(hermes_plans.context, modality=modality))
    labels = tuple(
        Label(
            name=task,
            value=values_of[task].written_value,
            values=tuple(values_of[task].values),
            member=member,
            colour=colour_of(hermes_plans.tasks.index(task)),
        )
        for task in tasks
    )
    return Pass(labels, hermes_plans)


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
            yield f"the images are taken for {taken}: name their modality with --modality if they are of another"
        return
    others = [f"{member.name} ({listed(member.modalities)})" for member in members if modality not in member.modalities]
    if others:
        yield f"no {modality} was among the training images of {listed(others)}: check the result"
