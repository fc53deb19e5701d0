"""Pictures of the best and the worst case of every member."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.collection import member_and_own_case
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.report import report_figure
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.report.figures import as_data
from hermes_nnunet.insight.report.statistics import best_and_worst
from hermes_nnunet.insight.report.trained_model import VALIDATION, TrainedModel


@dataclass(frozen=True)
class MemberPictures:
    """Best and worst case of a member, as an <img> src; or why there is none."""

    member: str
    image: str | None
    problem: str | None


def draw_member_cases(model: TrainedModel, raw: Path | None) -> Iterator[MemberPictures]:
    """Pictures of every validated member, one after the other: reading the images takes some seconds each.

    Args:
        model: with its validation segmentations.
        raw: nnUNet_raw, where the images are; None where it is not known.
    """
    for member, cases in model.dice.items():
        chosen = best_and_worst(cases)
        if not chosen:
            yield MemberPictures(member, None, "No case has a defined Dice.")
            continue
        if raw is None:
            yield MemberPictures(member, None, "nnUNet_raw is not set, so the images cannot be found.")
            continue
        try:
            titles = ("best", "worst") if len(chosen) == 2 else ("only case",)
            rows = [_picture(model, raw, case, title) for case, title in zip(chosen, titles, strict=True)]
            yield MemberPictures(member, as_data(report_figure(rows), "png"), None)
        except (HermesError, OSError) as error:
            yield MemberPictures(member, None, f"An image cannot be shown: {error}")


def _picture(model: TrainedModel, raw: Path, case: str, title: str) -> PictureCase:
    dataset = raw / model.content.plans["dataset_name"]
    entry = model.collection.cases[case]
    files = model.content.dataset_json.get("dataset", {}).get(case)
    if files is None:
        raise HermesError(f"dataset.json of the model does not say where the files of case {case} lie")
    member = model.collection.members[entry.member]
    values = {task.name: task.values for task in model.collection.tasks}
    names = {task: short_name(task, member.name) for task in member.tasks}
    dice = model.dice[entry.member][case]
    return PictureCase(
        title=f"{title}: {member_and_own_case(case)[1]}\nmean Dice {mean_of_defined(dice.values()):.2f}",
        image=dataset / files["images"][0],
        reference=dataset / files["label"],
        prediction=model.fold_of(case).folder / VALIDATION / f"{case}.nii.gz",
        labels={names[task]: list(values[task]) for task in member.tasks},
        modality=entry.modality,
        dice={names[task]: score for task, score in dice.items() if score == score},  # not nan
    )


def short_name(task: str, member: str) -> str:
    """A task's name where its member is known."""
    return task.removeprefix(f"{member}/")
