"""Making a data set of images without labels and what a model is sure of in them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.files import folder_written_beside, write_json
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_files import read_dataset_json
from hermes_nnunet.core.nnunet_folders import raw_folder
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.names import match_member
from hermes_nnunet.prediction.passes import Choice, choose, wanted_modality
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.pseudo_labels.calibration import count_scores, score_case
from hermes_nnunet.prediction.pseudo_labels.dataset import (
    FILE_ENDING,
    LABELS_FOLDER,
    OwnLabels,
    dataset_json,
    free_place,
    merge_lines,
    own_labels,
)
from hermes_nnunet.prediction.pseudo_labels.labelling import SureLabels
from hermes_nnunet.prediction.pseudo_labels.thresholds import Thresholds


@dataclass(frozen=True)
class Wish:
    """What is to be labelled.

    Attributes:
        into: id of the new data set.
        name: its name, after DatasetXXX_.
        members: whose images without labels; all members' where none is named.
        tasks: that are asked for; all that the model knows in an image's modality where none is named.
        confidence: see ScoreCounts.thresholds.
        cases_per_member: held-out cases of a member, in each fold, that the confidence is measured on.
    """

    into: int
    name: str
    members: Sequence[str] = ()
    tasks: Sequence[str] = ()
    confidence: float = 0.9
    cases_per_member: int = 10


@dataclass(frozen=True)
class LabelledDataset:
    """What was made.

    Attributes:
        thresholds: of the tasks that are labelled.
        unsure: tasks that are not, since the model is never sure enough of them.
        cases: number of labelled images.
        merge_lines: what to write into the next merge file.
        warnings: what people should read.
    """

    folder: Path
    thresholds: dict[str, Thresholds]
    unsure: tuple[str, ...]
    cases: int
    merge_lines: list[str]
    warnings: tuple[str, ...]


def label_images(
    model: ModelFolder, wish: Wish, device: torch.device | str | None = None, *, half_precision: bool = True
) -> LabelledDataset:
    """Label the images without labels of a model's collection, as a data set that a merge takes in.

    A voxel has a task's label where the model is sure of it, background where it is sure that none of the tasks is
    there, and the ignore label elsewhere. How sure it may be each task's held-out cases tell.

    Raises:
        HermesError: there are no such images or tasks, the model is sure of none, or the data set is there already.
    """
    collection = model.collection
    if collection is None:
        raise HermesError(f"{model.path} is the view of one member: give the collection's own model")
    if not 0.5 <= wish.confidence < 1:
        raise HermesError(f"confidence {wish.confidence}: give a share of at least 0.5, and below 1")
    if wish.cases_per_member < 1:
        raise HermesError(f"{wish.cases_per_member} held-out cases of a member: give at least 1")
    raw = raw_folder()
    remove_leftovers(raw)
    folder = free_place(raw, wish.into, wish.name)
    dataset = raw / model.plans["dataset_name"]
    cases = _images_without_labels(collection, wish.members)
    modalities = dict.fromkeys(collection.cases[case].modality for case in cases)
    choices = {modality: _choice(model, wish.tasks, modality) for modality in modalities}
    asked = {label.name for choice in choices.values() for label in choice.labels}
    tasks = [task for task in collection.tasks if task.name in asked]
    counts = count_scores(
        model,
        lambda fold: HermesPredictor(replace(model, folds=(fold,)), device, half_precision=half_precision),
        dataset,
        choices,
        wish.cases_per_member,
    )
    found = {task: counted.thresholds(wish.confidence) for task, counted in counts.items()}
    thresholds = {task.name: limits for task in tasks if (limits := found.get(task.name)) is not None}
    if not thresholds:
        raise HermesError(
            f"the model is not sure of any task: of the voxels of its held-out cases that it gives to {listed(asked)}, "
            f"fewer than {wish.confidence:g} are right at any threshold: train it longer, or lower --confidence"
        )
    own = own_labels([task for task in tasks if task.name in thresholds])
    tasks_of = {
        case: [label.name for label in choices[collection.cases[case].modality].labels if label.name in thresholds]
        for case in cases
    }
    images = {case: paths for case, paths in _image_files(dataset, cases).items() if tasks_of[case]}
    content = dataset_json(
        folder, own, images, {case: tasks_of[case] for case in images}, model, thresholds, wish.confidence
    )
    with folder_written_beside(folder) as new:
        predictor = HermesPredictor(model, device, half_precision=half_precision)
        (new / LABELS_FOLDER).mkdir()
        for case, paths in tqdm(images.items(), desc="Labelling", unit="case"):
            choice = choices[collection.cases[case].modality]
            _label(predictor, FileSource(case, tuple(paths)), choice, thresholds, own, new / LABELS_FOLDER)
        write_json(content, new / "dataset.json")
    return LabelledDataset(
        folder=folder,
        thresholds=thresholds,
        unsure=tuple(task.name for task in tasks if task.name not in thresholds),
        cases=len(images),
        merge_lines=merge_lines(folder.name, collection, own, list(images)),
        warnings=tuple(dict.fromkeys(warning for choice in choices.values() for warning in choice.warnings)),
    )


def _images_without_labels(collection: Collection, members: Sequence[str]) -> list[str]:
    labelled = set(collection.labelled(collection.cases))
    cases = [case for case in collection.cases if case not in labelled]
    known = list(dict.fromkeys(collection.cases[case].member for case in cases))
    if not known:
        raise HermesError(
            "all images of the model's collection have labels: merge those without as a member with unlabelled: true, "
            "and train again"
        )
    wanted = {match_member(member, known) for member in members} or set(known)
    return [case for case in cases if collection.cases[case].member in wanted]


def _choice(model: ModelFolder, tasks: Sequence[str], modality: str) -> Choice:
    knowing = [name for name, member in model.members.items() if modality in member.channels]
    if not tasks and not knowing:
        raise HermesError(
            f"no labelled image of the model's collection is {modality}, so what it finds in such images is not known "
            "to be right: name the tasks with --tasks if you want them all the same"
        )
    return choose(model, tasks=tasks, everything=not tasks, modality=wanted_modality(modality))


def _image_files(dataset: Path, cases: Sequence[str]) -> dict[str, list[Path]]:
    files = read_dataset_json(dataset / "dataset.json", "merge the collection again").get("dataset", {})
    missing = [case for case in cases if case not in files]
    if missing:
        raise HermesError(
            f"{dataset / 'dataset.json'} does not have {listed(missing)}, which the model was trained with: plan and "
            "train again after a merge"
        )
    return {case: [Path(os.path.abspath(dataset / image)) for image in files[case]["images"]] for case in cases}


def _label(
    predictor: HermesPredictor,
    source: FileSource,
    choice: Choice,
    thresholds: dict[str, Thresholds],
    own: OwnLabels,
    folder: Path,
) -> None:
    sure = SureLabels(choice.passes, thresholds)
    score_case(predictor, source, choice.passes, sure.take)
    reader = HermesImageIO()
    _, properties = reader.read_images([str(source.files[0])])
    reader.write_seg(sure.label_map(own.values, own.ignore), str(folder / f"{source.name}{FILE_ENDING}"), properties)
