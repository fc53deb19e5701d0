"""Teaching a trained model a new structure with a few labelled images: an addition, and the Dice to expect of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from hermes_nnunet.additions import LARGEST_RANK, RANK
from hermes_nnunet.core.dice import CaseDice, defined_by_task
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.specification import RESERVED_LABELS
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import check_file_name
from hermes_nnunet.overrides import AUTO
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.prediction.passes import wanted_modality
from hermes_nnunet.weights.additions.base import ModelFold, rows_of_addition
from hermes_nnunet.weights.additions.compose import plans_without_additions
from hermes_nnunet.weights.additions.file import Addition, notices_of_looks
from hermes_nnunet.weights.additions.starting import check_unchanged
from hermes_nnunet.weights.additions.trained import header_of_collection
from hermes_nnunet.weights.teaching.cases import TaughtCase, prepare_case
from hermes_nnunet.weights.teaching.defaults import LEFT_OUT
from hermes_nnunet.weights.teaching.examples import Example, check_examples
from hermes_nnunet.weights.teaching.fitting import Settings, fit
from hermes_nnunet.weights.teaching.lesson import Lesson, make_lesson
from hermes_nnunet.weights.teaching.scoring import dice_of


class Report(Protocol):
    """Is told what is being done, how much of it is done, and how much there is."""

    def __call__(self, what: str, done: int, of: int) -> None: ...


@dataclass(frozen=True)
class Taught:
    """What came of teaching.

    Attributes:
        addition: for the base.
        left_out: Dice of each task in examples that were left out in turn, nan where no other shows it; empty for a
            single example.
        notices: lines that people should read.
    """

    addition: Addition
    left_out: CaseDice
    notices: tuple[str, ...]


def teach(
    base: ModelFold,
    examples: Sequence[Example],
    *,
    name: str,
    modality: str,
    dataset_name: str,
    labels: Mapping[str, int] | None = None,
    rank: int = RANK,
    leave_out: int = LEFT_OUT,
    settings: Settings | None = None,
    device: torch.device | None = None,
    report: Report | None = None,
) -> Taught:
    """Fit an addition to labelled images. The base stays as it is.

    With two examples or more, some are left out in turn: an addition that is fitted to the others tells which Dice to
    expect on an image that nobody has labelled. The addition that is returned has seen all examples.

    Args:
        base: fold of a universal model.
        examples: labelled images.
        name: of the addition, and of the task where there is one label.
        modality: of the images.
        dataset_name: under which the addition's view will lie once it is in a model.
        labels: name of each label -> its value in the masks; None for masks of 0 and 1.
        rank: of the adapters.
        leave_out: how many examples at most are left out in turn; 0 for none.
        settings: of the fit.
        device: None for the CPU.
        report: is told what is done.

    Raises:
        UsageError: a number is out of range.
        HermesError: an example, a name or a label does not fit.
    """
    if not 1 <= rank <= LARGEST_RANK:
        raise UsageError(f"the rank is {rank}: give a number from 1 to {LARGEST_RANK}")
    if leave_out < 0:
        raise UsageError(f"{leave_out} examples cannot be left out: give 0 or more")
    settings = Settings() if settings is None else settings
    if settings.steps < 1:
        raise UsageError(f"the number of steps is {settings.steps}: give 1 or more")
    device = torch.device("cpu") if device is None else device
    tell = _silent if report is None else report
    labels = {check_file_name(name, "--name"): 1} if labels is None else labels
    _check_values(labels)
    _check_names(examples)
    # The environment would decide how the examples are normalised.
    if wanted_modality(modality) == AUTO:
        raise HermesError(f"--modality {AUTO} is for images to predict: name the modality of the examples")
    check_examples(examples, labels, base.model.image_channels)
    lesson = make_lesson(base, name, labels, modality, examples, dataset_name=dataset_name, rank=rank)
    cases = []
    for number, example in enumerate(examples):
        tell("reading the examples", number, len(examples))
        cases.append(prepare_case(example, lesson))
    _check_voxels(cases, lesson)
    left_out = _leave_out(cases, lesson, settings, device, leave_out, tell)
    addition = _addition(lesson, cases, settings, device, tell)
    notices = (*_notices(lesson, modality), *notices_of_looks([addition.header.added]))
    return Taught(addition.with_dice(defined_by_task(left_out)), left_out, notices)


def _leave_out(
    cases: Sequence[TaughtCase],
    lesson: Lesson,
    settings: Settings,
    device: torch.device,
    most: int,
    tell: Report,
) -> CaseDice:
    """Dice of examples that were left out in turn; nan of a task that no other example shows."""
    found: CaseDice = {}
    for place in places_left_out(len(cases), most):
        case = cases[place]
        others = [other for other in cases if other is not case]
        shown = _shown(others, lesson)
        if not shown:
            continue
        network = fit(
            lesson, others, settings, device, partial(tell, f"without {case.example.name}", of=settings.steps)
        )
        dice = dice_of(network, case, lesson, device)
        found[case.example.name] = {task: own if task in shown else math.nan for task, own in dice.items()}
    return found


def _shown(cases: Sequence[TaughtCase], lesson: Lesson) -> set[str]:
    """Tasks of which any case has a voxel."""
    tasks = enumerate(lesson.hermes_plans.tasks, start=1)
    return {task for value, task in tasks if any(len(case.voxels_of(value)) for case in cases)}


def places_left_out(examples: int, most: int) -> list[int]:
    """Which examples are left out in turn: evenly from the first to the last; none of a single one."""
    number = min(most, examples) if examples > 1 else 0
    return sorted({round(place * (examples - 1) / max(1, number - 1)) for place in range(number)})


def _addition(
    lesson: Lesson, cases: Sequence[TaughtCase], settings: Settings, device: torch.device, tell: Report
) -> Addition:
    network = fit(lesson, cases, settings, device, partial(tell, "with all examples", of=settings.steps))
    weights = {weight: tensor.cpu() for weight, tensor in network.state_dict().items()}
    check_unchanged(weights, lesson.hermes_plans, lesson.base.base, plans_without_additions(lesson.base.plans))
    trained_on = {"examples": len(cases), "steps": settings.steps, "batch_size": settings.batch_size}
    header = header_of_collection(lesson.plans, lesson.collection, lesson.base, trained_on=trained_on)
    return Addition(header, rows_of_addition(weights, lesson.hermes_plans, 0))


def _notices(lesson: Lesson, modality: str) -> tuple[str, ...]:
    of_base = plans_without_additions(lesson.base.plans)
    if modality in of_base.modalities:
        return ()
    rule = intensity_rule(modality, lesson.hermes_plans.intensity_clipping)
    return (
        f"the base does not know {modality} (it knows {listed(of_base.modalities[:-1])}), so its tokens and norms "
        f"learn from these images alone; intensities are clipped and normalised by {dict(rule)}",
    )


def _check_values(labels: Mapping[str, int]) -> None:
    """See that each label has a value of its own, above 0, and a name that nnU-Net does not need for itself.

    Raises:
        UsageError: it has not.
    """
    if not labels:
        raise UsageError("--labels is empty: name each label and its value, as gallbladder=1")
    reserved = sorted({*RESERVED_LABELS}.intersection(labels))
    if reserved:
        raise UsageError(
            f"a label cannot be named {listed(reserved)}, which nnU-Net needs for itself: choose another name"
        )
    values = list(labels.values())
    if min(values) < 1 or len(set(values)) < len(values):
        given = listed(f"{name}={value}" for name, value in labels.items())
        raise UsageError(f"--labels {given}: every label needs a value of its own, above 0")


def _check_voxels(cases: Sequence[TaughtCase], lesson: Lesson) -> None:
    """See that each label is still there on the network's voxels.

    Raises:
        HermesError: it is too small for them.
    """
    shown = _shown(cases, lesson)
    for task in lesson.hermes_plans.tasks:
        if task not in shown:
            spacing = lesson.plans["configurations"][lesson.configuration]["spacing"]
            raise HermesError(
                f"{task} is so small that nothing is left of it at the base's spacing ({listed(spacing)} mm): train a "
                "model with a finer one"
            )


def _check_names(examples: Sequence[Example]) -> None:
    names = [example.name for example in examples]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HermesError(f"there are two examples {listed(twice)}: give each mask a name of its own")


def _silent(what: str, done: int, of: int) -> None:
    """For those who want to be told nothing."""
