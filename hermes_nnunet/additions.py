"""Additions, as plans speak of them: which members they have brought into a model, and which base one is for.

An addition is what a frozen universal model, its base, needs to do one more member.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from hermes_nnunet.collection import MemberName, ModalityName, TaskName
from hermes_nnunet.looks import Looks
from hermes_nnunet.schema import OURS, Text, Whole, must_be

# Of the adapters of an addition, where nobody says another.
RANK = 4
LARGEST_RANK = 64
# Entry of a model's checkpoint: the header of each addition in it.
CHECKPOINT_KEY = "hermes_additions"

Rank = Annotated[Whole, Field(gt=0), must_be("a whole number above 0")]


@dataclass(frozen=True)
class AddedMember:
    """A member that an addition has brought into a model.

    Attributes:
        member: its name, which is the addition's too.
        tasks: rows of the task pool that are the addition's.
        new_modalities: modalities that the base does not know; the addition has rows of its own for them.
        rank: of its adapters.
        looks: of its images; None where they were not measured. Folds of one model may differ in them.
    """

    member: MemberName
    tasks: tuple[TaskName, ...]
    new_modalities: tuple[ModalityName, ...]
    rank: Rank
    looks: Looks | None = field(default=None, compare=False)

    __pydantic_config__ = OURS

    def to_json(self) -> dict[str, Any]:
        """As JSON stores it."""
        content = asdict(self)
        if self.looks is None:
            del content["looks"]
        return content


@dataclass(frozen=True)
class BaseReference:
    """The base that a collection's addition is trained for.

    Attributes:
        model: its model folder.
        fold: whose weights the addition is for.
        weights: hash of these weights, without what additions have brought into them.
    """

    model: Text
    fold: Text
    weights: Text

    __pydantic_config__ = OURS


def modality_rows(modalities: Sequence[str], additions: Sequence[AddedMember]) -> list[tuple[str | None, str]]:
    """Rows of the modality pool: (addition, or None for the base; name of the modality).

    Those of the base stand first and "unknown" last; a modality that several additions have brought has a row of each.

    Args:
        modalities: every name once, "unknown" last.
        additions: in the order of their rows.
    """
    brought = {modality for addition in additions for modality in addition.new_modalities}
    own = [(None, modality) for modality in modalities[:-1] if modality not in brought]
    added = [(addition.member, modality) for addition in additions for modality in addition.new_modalities]
    return [*own, *added, (None, modalities[-1])]
