"""What is known about a task beside its token: who annotates it, in which modality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_nnunet.collection import Member

SHARED = "shared"
_NOBODY = "no member"


@dataclass(frozen=True)
class TaskOrigin:
    """Where a task comes from.

    Attributes:
        name: of the task.
        member: the member that annotates it, or "shared".
        modality: of its images; several joined with "/".
    """

    name: str
    member: str
    modality: str


def task_origins(tasks: Sequence[str], members: Mapping[str, Member]) -> list[TaskOrigin]:
    """Origins of all tasks of a model, in the order given."""
    origins = []
    for task in tasks:
        own = [member for member in members.values() if task in member.tasks]
        modalities = dict.fromkeys(modality for member in own for modality in member.modalities)
        name = own[0].name if len(own) == 1 else SHARED if own else _NOBODY
        origins.append(TaskOrigin(task, name, "/".join(modalities)))
    return origins
