"""What a collection knows of where tasks are not, for people to check."""

from collections.abc import Collection as Group
from collections.abc import Mapping
from itertools import combinations

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.wording import listed

NOTHING_EXCLUDES = "no task excludes one of another member: where it is not, only its own members teach it"


def members_of_tasks(collection: Collection) -> dict[str, list[str]]:
    """Task -> members that label it."""
    return {
        task: [name for name, member in collection.members.items() if task in member.tasks]
        for task in collection.task_names
    }


def may_overlap(collection: Collection) -> dict[str, list[str]]:
    """Task -> tasks that it may have voxels in common with, of those that other members label."""
    members_of = members_of_tasks(collection)
    return {
        task: [o for o in _of_others(task, members_of) if o not in collection.excludes.get(task, ())]
        for task in collection.task_names
    }


def overlap_lines(
    overlapping: Mapping[str, Group[str]], members_of: Mapping[str, Group[str]], absent: Mapping[str, Group[str]]
) -> list[str]:
    """Which tasks of different members may overlap, and which are absent from a member's images, in a few lines.

    Args:
        overlapping: as `may_overlap` gives it.
        members_of: as `members_of_tasks` gives it.
        absent: member -> tasks that none of its images show.
    """
    others = {task: _of_others(task, members_of) for task in members_of}
    compared = [task for task in members_of if others[task]]
    with_all = [task for task in compared if len(overlapping[task]) == len(others[task])]
    narrow = [task for task in compared if task not in with_all]
    pairs = [f"{a} with {b}" for a, b in combinations(narrow, 2) if b in overlapping[a]]
    lines = [f"may overlap: {listed(pairs)}"] if pairs else []
    if compared and not narrow:
        lines.append(NOTHING_EXCLUDES)
    elif with_all:
        lines.append(f"may overlap with all tasks of other members: {listed(with_all)}")
    elif compared and not pairs:
        lines.append("no tasks of different members may overlap")
    return [*lines, *(f"absent from images of {member}: {listed(tasks)}" for member, tasks in absent.items() if tasks)]


def _of_others(task: str, members_of: Mapping[str, Group[str]]) -> list[str]:
    return [other for other, members in members_of.items() if set(members) != set(members_of[task])]
