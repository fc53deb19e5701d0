"""How many cases annotate what, for people to check."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.wording import listed


@dataclass(frozen=True)
class AnnotatedCases:
    """Cases of a member: how many there are, how many of them have labels, and how many annotate each task."""

    cases: int
    labelled: int
    of_tasks: Mapping[str, int]


def annotated_cases(collection: Collection) -> dict[str, AnnotatedCases]:
    """By member."""
    tasks_of: dict[str, list[tuple[str, ...]]] = {name: [] for name in collection.members}
    for case, entry in collection.cases.items():
        tasks_of[entry.member].append(collection.context_of(case).tasks)
    found = {}
    for name, of_cases in tasks_of.items():
        numbers = Counter(task for tasks in of_cases for task in tasks)
        of_tasks = {task: numbers[task] for task in collection.members[name].tasks}
        found[name] = AnnotatedCases(len(of_cases), sum(map(bool, of_cases)), of_tasks)
    return found


def annotation_lines(members: Mapping[str, AnnotatedCases]) -> list[str]:
    """What not all labelled cases of a member annotate, and how many cases have no labels; a line each."""
    lines = []
    for name, own in members.items():
        partly = {task: number for task, number in own.of_tasks.items() if number < own.labelled}
        if partly:
            counts = listed(f"{task.removeprefix(f'{name}/')} {number}" for task, number in partly.items())
            lines.append(f"annotated in some of {own.labelled} labelled cases of {name}: {counts}")
        without = own.cases - own.labelled
        if without:
            lines.append(f"cases of {name} without labels, trained on for their modality only: {without}")
    return lines
