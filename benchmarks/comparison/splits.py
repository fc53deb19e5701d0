"""Folds that leave cases out of the training, for the questions of synergy and of few labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.collection import case_identifier
from hermes_nnunet.core.files import read_json, write_json

OWN_FOLDS = 3


@dataclass(frozen=True)
class Reduction:
    """A fold 0 in which one member has fewer training cases.

    Attributes:
        member: name of the member.
        cases: how many of its training cases stay. With 0 the other members' held-out cases are judged, otherwise its
            own.
    """

    member: str
    cases: int

    def training_cases(self, cases: Sequence[str], prefix: str) -> list[str]:
        """The training cases that stay: the member's first by name, and all of other members."""
        own = sorted(case for case in cases if case.startswith(prefix))
        return [case for case in cases if case not in own[self.cases :]]


def add_folds(splits_file: Path, reductions: Sequence[Reduction], *, of_collection: bool) -> None:
    """Write the reductions of fold 0 behind the three folds of splits_final.json, in their order.

    Case names of a collection begin with the member's name.
    """
    folds = read_json(splits_file, "prepare the data again")[:OWN_FOLDS]
    for reduction in reductions:
        prefix = case_identifier(reduction.member, "") if of_collection else ""
        held_out = [case for case in folds[0]["val"] if case.startswith(prefix) == (reduction.cases > 0)]
        folds.append({"train": reduction.training_cases(folds[0]["train"], prefix), "val": held_out})
    write_json(folds, splits_file)


def fold_of(reduction: Reduction, reductions: Sequence[Reduction]) -> int:
    """Number of the fold that `add_folds` made of a reduction."""
    return OWN_FOLDS + list(reductions).index(reduction)
