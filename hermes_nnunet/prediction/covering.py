"""The members that a prediction of some tasks needs."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import combinations

from hermes_nnunet.collection import Member


def knows(member: Member, modality: str | None) -> bool:
    """Whether the member was trained on the modality; None stands for the member's own."""
    return modality is None or modality in member.channels


def fewest_members(
    members: Mapping[str, Member], wanted: AbstractSet[str], modality: str | None, *, merged: bool
) -> list[str]:
    """The fewest members that have all wanted tasks, in the order of `members`.

    A task that members know in the modality is taken from these.

    Args:
        merged: members of one modality share a pass, so that, where no modality is named, few modalities come before
            few members.
    """
    tasks_of = {name: set(member.tasks) for name, member in members.items()}
    if merged and modality is None:
        of_modality: dict[str, set[str]] = {}
        for name, member in members.items():
            of_modality.setdefault(member.modalities[0], set()).update(tasks_of[name])
        modalities = _cover(of_modality, wanted)
        tasks_of = {name: tasks for name, tasks in tasks_of.items() if members[name].modalities[0] in modalities}
    knowing = {name: tasks for name, tasks in tasks_of.items() if knows(members[name], modality)}
    known = wanted & set().union(*knowing.values())
    chosen = _cover(knowing, known) | _cover(tasks_of, wanted - known)
    return [name for name in members if name in chosen]


def _cover(options: Mapping[str, AbstractSet[str]], wanted: AbstractSet[str]) -> set[str]:
    """The fewest options that together have all that is wanted; among equal choices the first."""
    useful = {name: wanted & tasks for name, tasks in options.items()}
    owners = Counter(task for tasks in useful.values() for task in tasks)
    needed = {name for name, tasks in useful.items() if any(owners[task] == 1 for task in tasks)}
    left = wanted - set().union(*(useful[name] for name in needed))
    others = [name for name, tasks in useful.items() if tasks & left]
    choices = (chosen for number in range(len(others) + 1) for chosen in combinations(others, number))
    return needed | set(next(some for some in choices if left <= set().union(*(useful[name] for name in some))))
