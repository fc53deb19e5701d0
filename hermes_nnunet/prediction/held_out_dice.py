"""The Dice of a model's held-out cases, from what travels with its folds wherever they go.

That is nnU-Net's summary of the final validation, and of additions the header that their weights keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from hermes_nnunet.additions import CHECKPOINT_KEY
from hermes_nnunet.collection import Collection, MemberName
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.dice import CaseDice, defined_by_task, mean_of_defined
from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.files import parse_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.learning.training.member_dice import (
    dice_by_member,
    dice_of_view,
    read_summary,
    validated_checkpoint,
)
from hermes_nnunet.schema import WITH_MORE, Number, Text, checked

if TYPE_CHECKING:
    from hermes_nnunet.prediction.model_folder import ModelFolder

SUMMARY = Path("validation", "summary.json")
# Name of nnU-Net's fold that is validated with the cases that it was trained with.
FOLD_OF_ALL = "all"
_REMEDY = "copy the model's folder again"


class _Member(TypedDict):
    name: MemberName

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


@dataclass(frozen=True)
class _Header:
    """What is read of an addition's header, see AdditionHeader."""

    member: _Member
    dice: dict[Text, Number | None] = field(default_factory=dict)
    dice_of_cases: dict[Text, list[Number]] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """The validation of a universal model's fold.

    Attributes:
        dice: by member; empty where there was none.
        checkpoint: name of what was validated.
    """

    dice: dict[str, CaseDice] = field(default_factory=dict)
    checkpoint: str = FINAL


def read_validation(fold: Path, collection: Collection) -> Validation:
    """What nnU-Net's latest validation in a fold's folder tells.

    Raises:
        HermesError: see `read_summary`.
    """
    path = fold / SUMMARY
    if not path.is_file():
        return Validation()
    summary = read_summary(path, collection)
    return Validation(dice_by_member(summary, collection), validated_checkpoint(summary))


def held_out_dice(fold: Path, collection: Collection) -> dict[str, CaseDice]:
    """Dice of a fold's final checkpoint in the cases that it was not trained with, by member; empty if not known.

    Raises:
        HermesError: see `read_summary`.
    """
    if not _holds_out(fold):
        return {}
    validation = read_validation(fold, collection)
    return validation.dice if validation.checkpoint == FINAL else {}


def _holds_out(fold: Path) -> bool:
    return fold.name.removeprefix("fold_") != FOLD_OF_ALL


def expected_dice(model: "ModelFolder") -> dict[str, dict[str, ExpectedDice]]:
    """The Dice to expect of each member's tasks, over the held-out cases of all folds that are averaged.

    Raises:
        HermesError: what tells it is damaged.
    """
    folds = [path.parent for path in model.checkpoints if _holds_out(path.parent)]
    found: dict[str, dict[str, ExpectedDice]] = {}
    for member, cases in _held_out_cases(model, folds).items():
        found[member] = _of_values(_checked(defined_by_task(cases), model))
    for member, headers in _headers(model).items():
        means = _together([_means(header) for header in headers])
        values = _together([header.dice_of_cases for header in headers])
        found[member] = _of_means(_checked(means, model)) | _of_values(_checked(values, model))
    return {member: found[member] for member in model.members if found.get(member)}


def _held_out_cases(model: "ModelFolder", folds: Sequence[Path]) -> dict[str, CaseDice]:
    """Dice by member and case."""
    if model.collection is None:
        (member,) = model.members
        summaries = [fold / SUMMARY for fold in folds if (fold / SUMMARY).is_file()]
        tasks = model.own_labels(member)
        return {member: {case: dice for path in summaries for case, dice in dice_of_view(path, tasks).items()}}
    together: dict[str, CaseDice] = {}
    for fold in folds:
        for member, cases in held_out_dice(fold, model.collection).items():
            together.setdefault(member, {}).update(cases)
    return together


def _headers(model: "ModelFolder") -> dict[str, list[_Header]]:
    """Headers of each addition, one a fold."""
    found: dict[str, list[_Header]] = {}
    for path in model.checkpoints if model.hermes_plans.additions else ():
        for text in checked(list[Text], read_checkpoint(path).get(CHECKPOINT_KEY, []), str(path), _REMEDY):
            header = checked(_Header, parse_json(text, str(path), _REMEDY), str(path), _REMEDY, inside="header")
            found.setdefault(header.member["name"], []).append(header)
    return found


def _checked(values: dict[str, list[float]], model: "ModelFolder") -> dict[str, list[float]]:
    """Raises: HermesError where a Dice is none."""
    for task, own in values.items():
        for dice in own:
            if not 0 <= dice <= 1:
                raise HermesError(f"{model.path}: the Dice of {quoted(task)} in its validation is {dice}: {_REMEDY}")
    return values


def _of_values(values: Mapping[str, Sequence[float]]) -> dict[str, ExpectedDice]:
    known = {task: ExpectedDice.of(own) for task, own in values.items()}
    return {task: dice for task, dice in known.items() if dice is not None}


def _together(parts: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    tasks = dict.fromkeys(task for part in parts for task in part)
    return {task: [value for part in parts for value in part.get(task, ())] for task in tasks}


def _means(header: _Header) -> dict[str, list[float]]:
    return {task: [mean] for task, mean in header.dice.items() if mean is not None}


def _of_means(means: Mapping[str, Sequence[float]]) -> dict[str, ExpectedDice]:
    """Of additions of earlier releases, which have no more."""
    return {task: ExpectedDice(mean_of_defined(own), None, None) for task, own in means.items()}
