"""The cases of a trained model's validation, the worst first."""

import math
from pathlib import Path

from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.report.case_pictures import short_name
from hermes_nnunet.insight.report.trained_model import VALIDATION, TrainedModel
from hermes_nnunet.insight.viewer.cases import Reference, ShownCase
from hermes_nnunet.prediction.image_sources import FileSource

_SEEN = 'The training saw this case (fold "all"): its Dice tells nothing of new images.'


def cases_of_validation(model: TrainedModel, raw: Path) -> list[ShownCase]:
    """Held-out cases of all folds with their references, by mean Dice; those without a defined Dice come last.

    Args:
        raw: nnUNet_raw, where images and references are.

    Raises:
        HermesError: no fold was validated.
    """
    cases = [(dice, member, case) for member, of_member in model.dice.items() for case, dice in of_member.items()]
    if not cases:
        raise HermesError(
            f"{model.content.path} has no validation to see: run it with nnUNetv2_train ... --val, or give a folder of "
            "results"
        )
    means = {case: mean_of_defined(dice.values()) for dice, _, case in cases}
    cases.sort(key=lambda entry: (math.isnan(means[entry[2]]), means[entry[2]]))
    return [_case(model, raw, member, case) for _, member, case in cases]


def _case(model: TrainedModel, raw: Path, member: str, case: str) -> ShownCase:
    dataset = raw / model.content.plans["dataset_name"]
    files = model.content.dataset_json["dataset"][case]
    tasks = {task.name: task for task in model.collection.tasks}
    order = list(model.content.hermes_plans.tasks)
    # Of other tasks the reference says nothing.
    shown = model.collection.context_of(case).tasks
    fold = model.fold_of(case)
    notes = [_SEEN] if model.dice_is_of_training_cases else []
    if fold.validation.checkpoint != FINAL:
        notes.append(f"Segmented with {fold.validation.checkpoint}.")
    return ShownCase(
        name=case,
        labels=tuple(
            Label(
                name=short_name(name, member),
                value=tasks[name].written_value,
                values=tuple(tasks[name].values),
                member=member,
                colour=colour_of(order.index(name)),
            )
            for name in shown
        ),
        prediction=fold.folder / VALIDATION / f"{case}.nii.gz",
        image=FileSource(case, tuple(dataset / name for name in files["images"])),
        reference=Reference(dataset / files["label"]),
        modality=model.collection.cases[case].modality,
        dice={short_name(name, member): score for name, score in model.dice[member][case].items()},
        notes=tuple(notes),
    )
