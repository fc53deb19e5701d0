"""The report as one HTML page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.annotated_cases import annotated_cases
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.dice import mean_dice, mean_of_defined
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.core.wording import listed
from hermes_nnunet.insight.report.case_pictures import MemberPictures, short_name
from hermes_nnunet.insight.report.figures import draw_dice_boxes, draw_learning_curves
from hermes_nnunet.insight.report.statistics import dice_by_task
from hermes_nnunet.insight.report.trained_model import Fold, TrainedModel
from hermes_nnunet.learning.training.sampling import case_probabilities, case_probabilities_by_weight, paper_weights

_TEMPLATE = "page.html"
_PAPERS_TRAINER = "HermesTrainerPaper"


def write_page(model: TrainedModel, pictures: Sequence[MemberPictures], path: Path) -> None:
    """Write the report of a model; nothing outside the page is needed to read it."""
    environment = Environment(
        loader=PackageLoader("hermes_nnunet.insight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["number"] = _number
    page = environment.get_template(_TEMPLATE).render(_content(model, pictures))
    with written_beside(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _content(model: TrainedModel, pictures: Sequence[MemberPictures]) -> dict[str, Any]:
    collection = model.collection
    dice = {name: dice_by_task(cases) for name, cases in model.dice.items()}
    shares = _shares(model.content.path.name, collection)
    annotated = annotated_cases(collection)
    return {
        "name": model.content.plans["dataset_name"],
        "seen": model.dice_is_of_training_cases,
        "model": model.content.path.name,
        "tasks": len(collection.tasks),
        "cases": len(collection.cases),
        "mean_dice": mean_of_defined(mean_dice(cases) for cases in model.dice.values()),
        "members": [
            {
                "name": name,
                "dataset": member.dataset_name,
                "modalities": ", ".join(member.modalities),
                "cases": annotated[name].cases,
                "held_out": len(model.dice.get(name, {})),
                "share": shares[name],
                "tasks": [
                    {
                        "name": short_name(task, name),
                        "cases": annotated[name].of_tasks[task],
                        "shared_by": _members_with(task, model) if "/" not in task else [],
                    }
                    for task in member.tasks
                ],
            }
            for name, member in collection.members.items()
        ],
        "folds": [_fold(fold, model) for fold in model.folds],
        "dice": [
            {
                "member": name,
                "cases": len(model.dice[name]),
                "mean": mean_dice(model.dice[name]),
                "tasks": [(short_name(task, name), values) for task, values in tasks.items()],
            }
            for name, tasks in dice.items()
        ],
        "additions": [
            {"member": name, "tasks": [(short_name(task, name), expected) for task, expected in tasks.items()]}
            for name, tasks in model.content.expected_dice.items()
            if name not in dice
        ],
        "boxes": _boxes(dice),
        "pictures": pictures,
        "settings": _settings(model),
        "clipping": {name: _rule(rule) for name, rule in model.content.hermes_plans.intensity_clipping.items()},
        "versions": {"report": package_versions(), **_training_versions(model)},
    }


def _shares(model_name: str, collection: Collection) -> dict[str, float]:
    """How often a patch is of each member, as the trainer draws cases."""
    cases = list(collection.cases)
    weights = paper_weights(collection) if model_name.startswith(_PAPERS_TRAINER) else None
    if weights is None:
        probabilities = case_probabilities(cases, collection)
    else:
        probabilities = case_probabilities_by_weight(cases, collection, weights)
    shares = dict.fromkeys(collection.members, 0.0)
    for case, probability in zip(cases, probabilities, strict=True):
        shares[collection.cases[case].member] += probability
    return shares


def _members_with(task: str, model: TrainedModel) -> list[str]:
    return [name for name, member in model.collection.members.items() if task in member.tasks]


def _boxes(dice: Mapping[str, Mapping[str, Any]]) -> str | None:
    if not dice:
        return None
    names = {task: short_name(task, member) for member, tasks in dice.items() for task in tasks}
    return draw_dice_boxes(dice, names)


def _fold(fold: Fold, model: TrainedModel) -> dict[str, Any]:
    return {
        "name": fold.name,
        "epochs": len(fold.curves.epochs),
        "curves": draw_learning_curves(fold.curves, model.collection.members) if fold.curves.epochs else None,
        "has_member_curves": fold.has_member_curves,
        "validated": bool(fold.dice),
        "other_checkpoint": fold.validation.checkpoint if fold.validation.checkpoint != FINAL else None,
    }


def _settings(model: TrainedModel) -> dict[str, str]:
    trainer, plans, configuration = model.content.path.name.split("__")
    content = model.content.plans["configurations"][configuration]
    context = model.content.hermes_plans.context
    return {
        "trainer": trainer,
        "plans": f"{plans} (made by {model.content.plans['experiment_planner_used']})",
        "configuration": configuration,
        "network": content["architecture"]["network_class_name"],
        "patch": f"{' x '.join(map(str, content['patch_size']))} voxels",
        "spacing": f"{' x '.join(f'{step:g}' for step in content['spacing'])} mm",
        "batch size": str(content["batch_size"]),
        "modalities": ", ".join(model.collection.modalities),
        "context without a view": f"all {len(context.tasks)} tasks, modality {context.modality}",
    }


def _rule(rule: Mapping[str, Any]) -> str:
    if "range" in rule:
        low, high = rule["range"]
        scaled = f", mean {rule['mean']:g} and deviation {rule['std']:g} of all images" if "mean" in rule else ""
        channels = f", only channel {listed(rule['channels'])}" if "channels" in rule else ""
        return f"clipped to {low:g} to {high:g}{scaled}{channels}"
    low, high = rule["percentiles"]
    return f"clipped to each image's percentiles {low:g} to {high:g}"


def _training_versions(model: TrainedModel) -> dict[str, dict[str, str]]:
    return {f"training of fold {fold.name}": fold.curves.versions for fold in model.folds if fold.curves.versions}


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
