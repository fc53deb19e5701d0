"""How intensities with fixed units are clipped and scaled, from the voxels that a collection's cases label."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from nnunetv2.configuration import default_num_processes
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.evenly import evenly_chosen
from hermes_nnunet.core.processes import available_cores, map_cases
from hermes_nnunet.modalities import CT, ct_channels
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping

PERCENTILES = (0.5, 99.5)  # those of nnU-Net's CTNormalization
CASES_PER_MEMBER = 20
# So many are read sooner than worker processes start.
FEW_CASES = 8
# Of labels that all have one intensity, so that an image is not divided by nothing.
SMALLEST_DEVIATION = 1.0


@dataclass(frozen=True)
class LabelledCase:
    """What to read of a case.

    Attributes:
        values_of_tasks: label values of each annotated task, by the task's name.
        channels: of the image; None for all.
    """

    images: tuple[str, ...]
    labels: str
    reader: type[BaseReaderWriter]
    values_of_tasks: Mapping[str, tuple[int, ...]]
    channels: tuple[int, ...] | None = None


class Intensities(NamedTuple):
    """Of labelled voxels, in the images' units."""

    low: float
    high: float
    mean: float
    std: float


def planned_intensity_clipping(
    collection: Collection, files: Mapping[str, Mapping[str, Any]], dataset_json: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The paper's rules, but CT as nnU-Net treats a data set of CTs: by what is labelled, the same for all images.

    A range of all of a CT's intensities leaves little of it to what is to be told apart; and the z-score of an image
    depends on how much air is in it, so that one density would have other values in every image.

    Args:
        files: by case, its 'images' and its 'label', as nnU-Net has them.
        dataset_json: of the collection.

    Raises:
        HermesError: see `ct_channels`.
    """
    channels = ct_channels(collection.members)
    rules = default_intensity_clipping(channels)
    example = next(iter(files.values()))["images"][0]
    reader = determine_reader_writer_from_dataset_json(dict(dataset_json), example, verbose=False)
    labelled = labelled_intensities(cases_to_read(collection, files, CT, reader, channels))
    if labelled is not None:
        rules[CT] |= {"range": [labelled.low, labelled.high], "mean": labelled.mean, "std": labelled.std}
    return rules


def labelled_intensities(cases: Sequence[LabelledCase]) -> Intensities | None:
    """Lowest and highest intensity of any task, mean and deviation over all; None where no case has a labelled voxel.

    A task's are the medians over its cases, with nnU-Net's percentiles of its voxels for lowest and highest. So one
    case with metal in it moves nothing, and a small structure counts as much as a large one. All are whole numbers.
    """
    of_tasks = defaultdict(list)
    processes = min(default_num_processes, available_cores()) if len(cases) > FEW_CASES else 1
    of_cases = map_cases(
        intensities_of_tasks,
        cases,
        processes,
        "Reading labelled intensities",
        when_one_died="set the environment variable nnUNet_def_n_proc to a smaller number",
    )
    for of_case in of_cases:
        for task, intensities in of_case.items():
            of_tasks[task].append(intensities)
    if not of_tasks:
        return None
    low, high, means, deviations = np.transpose([np.median(of_task, axis=0) for of_task in of_tasks.values()])
    mean = means.mean()
    deviation = np.sqrt((deviations**2 + (means - mean) ** 2).mean())
    whole = (float(np.round(value)) for value in (low.min(), high.max(), mean, max(deviation, SMALLEST_DEVIATION)))
    return Intensities(*whole)


def intensities_of_tasks(case: LabelledCase) -> dict[str, Intensities]:
    """Of each task's voxels, mean and deviation clipped to PERCENTILES; a task without any is left out."""
    reader = case.reader()
    image, labels = reader.read_images(list(case.images))[0], reader.read_seg(case.labels)[0][0]
    if case.channels is not None:
        image = image[list(case.channels)]
    found = {}
    for task, values in case.values_of_tasks.items():
        voxels = image[:, np.isin(labels, values)].ravel()
        if len(voxels):
            low, high = np.percentile(voxels, PERCENTILES)
            clipped = voxels.clip(low, high)
            found[task] = Intensities(float(low), float(high), float(clipped.mean()), float(clipped.std()))
    return found


def cases_to_read(
    collection: Collection,
    files: Mapping[str, Mapping[str, Any]],
    modality: str,
    reader: type[BaseReaderWriter],
    channels: tuple[int, ...] | None = None,
) -> list[LabelledCase]:
    """Cases of a modality, evenly over their names: of each task of a member, if there are as many, CASES_PER_MEMBER.

    Args:
        files: by case, its 'images' and its 'label', as nnU-Net has them.
        channels: of its images; None for all.
    """
    of_members = defaultdict(list)
    for name in sorted(files):
        if collection.context_of(name).modality == modality:
            of_members[collection.cases[name].member].append(name)
    values = {task.name: tuple(task.values) for task in collection.tasks}
    chosen = []
    for member, names in of_members.items():
        tasks_of = {name: collection.context_of(name).tasks for name in names}
        for name in _of_every_task(collection.members[member].tasks, tasks_of):
            case = files[name]
            own = {task: values[task] for task in tasks_of[name]}
            chosen.append(LabelledCase(tuple(case["images"]), case["label"], reader, own, channels))
    return chosen


def _of_every_task(tasks: Sequence[str], tasks_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Cases of a member, in their order, CASES_PER_MEMBER of each task as far as there are.

    Args:
        tasks: of the member.
        tasks_of: case -> tasks that it annotates.
    """
    chosen: set[str] = set()
    for task in tasks:
        annotating = [name for name, own in tasks_of.items() if task in own]
        left = [name for name in annotating if name not in chosen]
        chosen.update(evenly_chosen(left, CASES_PER_MEMBER - (len(annotating) - len(left))))
    return [name for name in tasks_of if name in chosen]
