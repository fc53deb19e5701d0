"""A merge worked out from its specification and the members' folders, before any image is read."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import (
    HERMES_BLOCK,
    UNKNOWN_MODALITY,
    Case,
    Collection,
    Labels,
    Member,
    case_identifier,
)
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, optional_folder
from hermes_nnunet.data.merge.folds import SPLITS_FILE, Fold, join_folds, make_folds, number_of_folds, read_own_folds
from hermes_nnunet.data.merge.record import MergeRecord, normalised_specification, stamp
from hermes_nnunet.data.merge.sources import SourceCase, SourceMember, read_member
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.data.merge.task_plan import LabelledMember, TaskPlan, plan_tasks
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name

FILE_ENDING = ".nii.gz"
LABELS_FOLDER = "labelsTr"
# Reads members of any orientation into one, and writes segmentations back.
READER_WRITER = "NibabelIOWithReorient"


@dataclass(frozen=True)
class PlannedCase:
    """A case of the collection: where it comes from, and its images."""

    member: SourceMember
    source: SourceCase
    modality: str
    images: tuple[Path, ...]


@dataclass(frozen=True)
class MergePlan:
    """All that a merge will write, but for the voxels of the label files.

    Attributes:
        folder: of the collection, in nnUNet_raw.
        cases: by their names in the collection.
        dataset_json: content of dataset.json.
        folds: content of splits_final.json.
        fold_origins: member -> where its folds come from: "raw", "preprocessed" (its own file there) or "made".
    """

    folder: Path
    collection: Collection
    cases: dict[str, PlannedCase]
    dataset_json: dict[str, Any]
    folds: list[Fold]
    fold_origins: dict[str, str]
    record: MergeRecord

    @property
    def label_dtype(self) -> str:
        largest = max(value for values in self.record.values.values() for value in values.values())
        return "uint8" if largest < 256 else "uint16"


def plan_merge(specification: MergeSpecification, raw: Path) -> MergePlan:
    """Work out a merge of data sets in the folder of raw data sets.

    Raises:
        HermesError: a member is not there or not usable, or members do not go together.
    """
    members = [read_member(raw, member) for member in specification.members]
    _check_together(members)
    tasks = plan_tasks(
        [LabelledMember(member.name, member.labels, member.specification.labels) for member in members],
        specification.shared_tasks,
    )
    folder = raw / specification.dataset_name
    cases = _planned_cases(members)
    collection = _collection(members, tasks, cases)
    folds, fold_origins = _folds(members, cases)
    references = {
        path: _reference(path, raw, folder) for case in cases.values() for path in (*case.images, case.source.label)
    }
    return MergePlan(
        folder=folder,
        collection=collection,
        cases=cases,
        dataset_json=_dataset_json(specification, collection, tasks, members[0].image_channels, cases, references),
        folds=folds,
        fold_origins=fold_origins,
        record=MergeRecord(
            specification=normalised_specification(specification, members),
            values={
                name: {str(own): value for own, value in member.values.items()}
                for name, member in tasks.members.items()
            },
            cases={
                name: [stamp(path, references[path]) for path in (*case.images, case.source.label)]
                for name, case in cases.items()
            },
        ),
    )


def _check_together(members: Sequence[SourceMember]) -> None:
    for dataset, count in Counter(member.dataset_name for member in members).items():
        if count > 1:
            raise HermesError(
                f"{dataset} is named {count} times: name a member once, and several of its channels under channels: "
                "in a YAML file"
            )
    for name, count in Counter(member.name for member in members).items():
        if count > 1:
            datasets = " and ".join(member.dataset_name for member in members if member.name == name)
            raise HermesError(f"{datasets} are both named '{name}': give one another name: in a YAML file")
    if len({member.image_channels for member in members}) > 1:
        counts = ", ".join(f"{member.dataset_name} {member.image_channels}" for member in members)
        raise HermesError(
            f"members have different numbers of channels ({counts}): choose one with channel:, or make each a case "
            "of its own with channels:, in a YAML file"
        )


def _planned_cases(members: Sequence[SourceMember]) -> dict[str, PlannedCase]:
    cases = {}
    for member in members:
        for source in member.cases:
            for modality in source.modalities:
                channel = member.channels[modality]
                name = case_identifier(member.name, source.name, modality if _splits_channels(member) else None)
                check_file_name(name, "case")
                images = source.images if channel is None else (source.images[channel],)
                cases[name] = PlannedCase(member, source, modality, images)
    return cases


def _splits_channels(member: SourceMember) -> bool:
    return member.specification.channels is not None


def _collection(members: Sequence[SourceMember], tasks: TaskPlan, cases: dict[str, PlannedCase]) -> Collection:
    modalities = {modality: None for member in members for modality in member.channels if modality != UNKNOWN_MODALITY}
    numbers = Counter(case.member.name for case in cases.values())
    return Collection(
        tasks=tasks.tasks,
        modalities=(*modalities, UNKNOWN_MODALITY),
        members={member.name: _member(member, tasks, numbers[member.name]) for member in members},
        cases={name: Case(case.member.name, case.modality, case.source.patient) for name, case in cases.items()},
    )


def _member(member: SourceMember, tasks: TaskPlan, cases: int) -> Member:
    own = tasks.members[member.name]
    weight = member.specification.sampling_weight
    return Member(
        name=member.name,
        dataset_name=member.dataset_name,
        tasks=own.tasks,
        labels=own.labels,
        regions_class_order=own.regions_class_order,
        channels=member.channels,
        channel_names=member.channel_names,
        file_ending=member.file_ending,
        sampling_weight=math.sqrt(cases) if weight is None else float(weight),
    )


def _folds(members: Sequence[SourceMember], cases: dict[str, PlannedCase]) -> tuple[list[Fold], dict[str, str]]:
    own: list[list[Fold] | None] = []
    origins = {}
    patients = [{case.name: case.patient for case in member.cases} for member in members]
    for member, patient_of in zip(members, patients, strict=True):
        path, place = _own_splits_file(member)
        own.append(None if path is None else read_own_folds(path, patient_of))
        origins[member.name] = "made" if path is None else place
    number = number_of_folds(own)
    member_folds = [
        make_folds(member.name, patient_of, number) if folds is None else folds
        for member, patient_of, folds in zip(members, patients, own, strict=True)
    ]
    identifiers: dict[str, dict[str, list[str]]] = {member.name: {} for member in members}
    for name, case in cases.items():
        identifiers[case.member.name].setdefault(case.source.name, []).append(name)
    return join_folds(member_folds, list(identifiers.values()), number), origins


def _own_splits_file(member: SourceMember) -> tuple[Path | None, str]:
    preprocessed = optional_folder(PREPROCESSED)
    places = [(member.folder / SPLITS_FILE, "raw")]
    if preprocessed is not None:
        places.append((preprocessed / member.dataset_name / SPLITS_FILE, "preprocessed"))
    return next(((path, place) for path, place in places if path.is_file()), (None, ""))


def _reference(path: Path, raw: Path, folder: Path) -> str:
    """A file as dataset.json names it: relative where raw data sets can be moved together."""
    return os.path.relpath(path, folder) if path.is_relative_to(raw) else str(path)


def _dataset_json(
    specification: MergeSpecification,
    collection: Collection,
    tasks: TaskPlan,
    channels: int,
    cases: dict[str, PlannedCase],
    references: dict[Path, str],
) -> dict[str, Any]:
    labels: Labels = {"background": 0}
    labels |= {task.name: list(task.values) if len(task.values) > 1 else task.values[0] for task in tasks.tasks}
    if tasks.ignore is not None:
        labels["ignore"] = tasks.ignore
    content: dict[str, Any] = {
        "name": specification.dataset_name,
        # Not the modality: nnU-Net would take it for a rule of normalisation.
        "channel_names": {"0": "image"} if channels == 1 else {str(i): f"image_{i}" for i in range(channels)},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": READER_WRITER,
    }
    if any(len(task.values) > 1 for task in tasks.tasks):
        content["regions_class_order"] = [task.written_value for task in tasks.tasks]
    content["dataset"] = {
        name: {
            "images": [references[path] for path in case.images],
            "label": f"{LABELS_FOLDER}/{name}{FILE_ENDING}",
        }
        for name, case in cases.items()
    }
    content[HERMES_BLOCK] = collection.to_block()
    return content
