"""Dice and HD95 by member and task: of held-out cases, whose segmentations a validation left, or of other cases."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from comparison.data import MEMBERS, Workplace
from comparison.running import Training
from hermes_nnunet.collection import Collection, member_and_own_case
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.label_values import foreground_values

PERCENTILE = 95


@dataclass(frozen=True)
class Score:
    """How well one task of one held-out case was found.

    Attributes:
        task: without the member's name.
        hd95: symmetric 95th percentile of the distances between the surfaces, mm; the image's diagonal where nothing
            was found.
    """

    member: str
    case: str
    task: str
    dice: float
    hd95: float


def scores_of(trainings: Sequence[Training], workplace: Workplace) -> list[Score]:
    """Every task of every held-out case that the trainings validated."""
    return [score for training in trainings for score in _scores_of_training(training, workplace)]


def scores_of_files(files: Mapping[str, Path], member: str, workplace: Workplace) -> list[Score]:
    """Every task of the cases (name -> segmentation in the member's own labels)."""
    values = _own_values(workplace, member)
    return [score for case, file in files.items() for score in _scores_of_case(file, values, member, case, workplace)]


def _scores_of_training(training: Training, workplace: Workplace) -> Iterator[Score]:
    values = _values_of_members(training, workplace)
    for file in sorted(training.validation(workplace).glob("*.nii.gz")):
        name = file.name.removesuffix(".nii.gz")
        member, case = member_and_own_case(name) if training.dataset not in MEMBERS else (next(iter(values)), name)
        yield from _scores_of_case(file, values[member], member, case, workplace)


def _scores_of_case(
    file: Path, values: Mapping[str, tuple[int, ...]], member: str, case: str, workplace: Workplace
) -> Iterator[Score]:
    """Args: values: label values of each task in the segmentation."""
    reference_file = workplace.raw(workplace.number_of(member)) / "labelsTr" / f"{case}.nii.gz"
    prediction, reference = (nibabel.load(path) for path in (file, reference_file))
    spacing = prediction.header.get_zooms()
    predicted, own = np.asarray(prediction.dataobj), np.asarray(reference.dataobj)
    for (task, here), there in zip(values.items(), _own_values(workplace, member).values(), strict=True):
        found, true = np.isin(predicted, here), np.isin(own, there)
        yield Score(member, case, task, dice(found, true), hd95(found, true, spacing))


def _values_of_members(training: Training, workplace: Workplace) -> dict[str, dict[str, tuple[int, ...]]]:
    """Label values of each task in the segmentations of a training, by member."""
    dataset_json = read_json(workplace.preprocessed(training.dataset) / "dataset.json", "prepare the data again")
    if training.dataset in MEMBERS:
        return {workplace.member_name(training.dataset): foreground_values(dataset_json["labels"])}
    collection = Collection.from_dataset_json(dataset_json, "the collection")
    value_of = {task.name: tuple(task.values) for task in collection.tasks}
    return {
        name: {task.removeprefix(f"{name}/"): value_of[task] for task in member.tasks}
        for name, member in collection.members.items()
    }


def _own_values(workplace: Workplace, member: str) -> dict[str, tuple[int, ...]]:
    dataset_json = read_json(workplace.raw(workplace.number_of(member)) / "dataset.json", "link the members again")
    return foreground_values(dataset_json["labels"])


def dice(found: np.ndarray, true: np.ndarray) -> float:
    """Dice of two masks; nan where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else math.nan


def hd95(found: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the distances of each mask's surface to the other's, the larger of the two; mm.

    nan where `true` is empty, the diagonal of the image where only `found` is.
    """
    if not true.any():
        return math.nan
    if not found.any():
        return math.hypot(*(length * step for length, step in zip(true.shape, spacing, strict=True)))
    box = ndimage.find_objects((found | true).astype(np.uint8))[0]
    surfaces = [_surface(mask[box]) for mask in (found, true)]
    distances = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    there = np.percentile(distances[1][surfaces[0]], PERCENTILE)
    back = np.percentile(distances[0][surfaces[1]], PERCENTILE)
    return float(max(there, back))


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


def by_task(scores: Sequence[Score]) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean Dice and mean HD95 over cases: member -> task -> the two. Undefined ones are left out."""
    tasks: dict[str, dict[str, list[Score]]] = {}
    for score in scores:
        tasks.setdefault(score.member, {}).setdefault(score.task, []).append(score)
    return {
        member: {
            task: (mean_of_defined(score.dice for score in own), mean_of_defined(score.hd95 for score in own))
            for task, own in of_member.items()
        }
        for member, of_member in tasks.items()
    }


def by_member(scores: Sequence[Score]) -> dict[str, tuple[float, float]]:
    """Mean over a member's tasks of the means over cases."""
    return {
        member: (mean_of_defined(dice for dice, _ in tasks.values()), mean_of_defined(mm for _, mm in tasks.values()))
        for member, tasks in by_task(scores).items()
    }
