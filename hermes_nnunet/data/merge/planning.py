"""A merge worked out from its specification and the members' folders, before any image is read."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import (
    HERMES_BLOCK,
    UNKNOWN_MODALITY,
    UNLABELLED_SHARE,
    Case,
    Collection,
    Labels,
    Member,
    case_identifier,
)
from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.annotation import values_not_annotated
from hermes_nnunet.data.merge.exclusion import TaskNames, absences, exclusions
from hermes_nnunet.data.merge.fold_planning import CollectionFolds, collection_folds
from hermes_nnunet.data.merge.folds import Fold
from hermes_nnunet.data.merge.linking import LinkedCase, link
from hermes_nnunet.data.merge.own_folds import own_folds
from hermes_nnunet.data.merge.record import MergeRecord, normalised_specification, stamp
from hermes_nnunet.data.merge.sources import SourceCase, SourceMember, read_member
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.data.merge.task_plan import NO_TASKS, LabelledMember, TaskPlan, plan_tasks, task_of_labels
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME, check_case_name
from hermes_nnunet.modalities import CT, ONE_CHANNEL_REMEDY, channels_named_ct, ct_channels

FILE_ENDING = ".nii.gz"
LABELS_FOLDER = "labelsTr"
IMAGES_FOLDER = "imagesTr"


@dataclass(frozen=True)
class PlannedCase:
    """A case of the collection: where it comes from, and its images.

    Attributes:
        copies: image -> file name in the collection, for those whose header is written anew.
    """

    member: SourceMember
    source: SourceCase
    modality: str
    images: tuple[Path, ...]
    copies: Mapping[Path, str]

    @property
    def files(self) -> tuple[Path, ...]:
        """The images, then the label file where there is one."""
        return self.images if self.source.label is None else (*self.images, self.source.label)

    @property
    def cts(self) -> tuple[Path, ...]:
        """Those of the images that have to be in Hounsfield units."""
        if self.modality != CT:
            return ()
        named = channels_named_ct(self.member.channel_names) if len(self.images) > 1 else ()
        return tuple(self.images[number] for number in named) or self.images

    @property
    def not_annotated(self) -> dict[int, str]:
        """Own values that its label file must not hold, each with its label."""
        if self.source.annotated is None:
            return {}
        return values_not_annotated(self.member.labels, self.source.annotated, self.member.specification.left_out)


@dataclass(frozen=True)
class MergePlan:
    """All that a merge will write, but for the voxels of the label files.

    Attributes:
        folder: of the collection, in nnUNet_raw.
        cases: by their names in the collection.
        dataset_json: content of dataset.json.
        own_folds: member -> its own folds, None where it has none.
        fold_origins: member -> where its folds come from: "raw", "preprocessed" (its own file there) or "made".
        sharing: members in which one name of a patient means one person.
        spacing_from: what decides the spacing of images whose headers say two.
        notes: what people should know of the members' files.
        warnings: what they should think about.
    """

    folder: Path
    collection: Collection
    cases: dict[str, PlannedCase]
    dataset_json: dict[str, Any]
    own_folds: dict[str, list[Fold] | None]
    fold_origins: dict[str, str]
    sharing: tuple[str, ...]
    record: MergeRecord
    spacing_from: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def with_hashes(self, hashes: Mapping[str, Sequence[str]]) -> "MergePlan":
        """The same merge, when hashes of (more of) the images are known: case -> one for each of its images."""
        known = {case: list(hashes[case]) for case in self.cases if case in hashes}
        return replace(self, record=replace(self.record, hashes=known))

    @cached_property
    def folds(self) -> CollectionFolds:
        """Content of splits_final.json, as far as the hashes of images are known.

        Raises:
            HermesError: a member has one patient only, or nothing to train on.
        """
        identifiers: dict[str, dict[str, list[str]]] = {name: {} for name in self.own_folds}
        annotated: dict[str, dict[str, Sequence[str]]] = {name: {} for name in self.own_folds}
        linked = []
        for name, case in self.cases.items():
            identifiers[case.member.name].setdefault(case.source.name, []).append(name)
            validated = () if case.member.has_pseudo_labels else self.collection.context_of(name).tasks
            annotated[case.member.name][case.source.name] = validated
            images = tuple(self.record.hashes.get(name, ()))
            linked.append(LinkedCase(case.member.name, case.source.name, case.source.patient, images))
        return collection_folds(self.own_folds, link(linked, self.sharing), identifiers, annotated)

    @property
    def label_dtype(self) -> str:
        largest = max(value for values in self.record.values.values() for value in values.values())
        return "uint8" if largest < 256 else "uint16"


def plan_merge(specification: MergeSpecification, raw: Path) -> MergePlan:
    """Work out a merge of data sets in the folder of raw data sets.

    Raises:
        HermesError: a member is not there or not usable, or members do not go together.
    """
    members = [read_member(raw, member, specification.spacing_from) for member in specification.members]
    _check_together(members)
    tasks = plan_tasks(
        [
            LabelledMember(member.name, member.labels, member.specification.labels)
            for member in members
            if not member.is_unlabelled
        ],
        specification.shared_tasks,
    )
    folder = raw / specification.dataset_name
    cases = _planned_cases(members, specification.spacing_from)
    collection = _collection(members, tasks, cases, specification.may_overlap)
    own = own_folds(members)
    references = {
        path: f"{IMAGES_FOLDER}/{case.copies[path]}" if path in case.copies else _reference(path, raw, folder)
        for case in cases.values()
        for path in case.files
    }
    _check_file_names(cases, references)
    ct_channels(collection.members)  # refuses members that differ in them
    plan = MergePlan(
        folder=folder,
        collection=collection,
        cases=cases,
        dataset_json=_dataset_json(specification, collection, tasks, members[0].image_channels, cases, references),
        own_folds=own.folds,
        fold_origins=own.origins,
        sharing=specification.sharing([member.name for member in members]),
        record=MergeRecord(
            specification=normalised_specification(specification, members),
            values={
                name: {str(own): value for own, value in member.values.items()}
                for name, member in tasks.members.items()
            },
            cases={name: [stamp(path, references[path]) for path in case.files] for name, case in cases.items()},
            hashes={},
            annotated={
                name: list(case.annotated) for name, case in collection.cases.items() if case.annotated is not None
            },
        ),
        spacing_from=specification.spacing_from,
        notes=tuple(note for member in members for note in member.notes),
        warnings=(*(warning for member in members for warning in member.warnings), *own.warnings),
    )
    _ = plan.folds  # whatever is wrong with them is told before images are read
    return plan


def _check_file_names(cases: Mapping[str, PlannedCase], references: Mapping[Path, str]) -> None:
    for path, reference in references.items():
        if "$" in reference:
            raise HermesError(
                f"{path} has a '$' in its name, which nnU-Net takes for a variable: rename the file or folder, image "
                "and label alike"
            )
    for name, case in cases.items():
        if "$" in name:
            raise HermesError(f"case {case.source.name} of {case.member.dataset_name} has a '$' in its name: rename it")
        # The longest name that files of a case get: that of an image to predict.
        surplus = len(f"{name}_0000{FILE_ENDING}".encode()) - LONGEST_FILE_NAME
        if surplus > 0:
            raise HermesError(
                f"case {case.source.name} of {case.member.dataset_name} would be called {name} in the collection, "
                f"{surplus} letters too many for names of files: rename the case, or give the member a shorter name:"
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
    if all(member.is_unlabelled or member.has_pseudo_labels for member in members):
        raise HermesError("all members are unlabelled, or labelled by a model: a collection needs one with own labels")
    if len({member.image_channels for member in members}) > 1:
        counts = ", ".join(f"{member.dataset_name} {member.image_channels}" for member in members)
        raise HermesError(f"members have different numbers of channels ({counts}): {ONE_CHANNEL_REMEDY}")


def _planned_cases(members: Sequence[SourceMember], spacing_from: str | None) -> dict[str, PlannedCase]:
    cases = {}
    for member in members:
        for source in member.cases:
            for modality in source.modalities:
                channel = member.channels[modality]
                name = case_identifier(member.name, source.name, modality if _splits_channels(member) else None)
                check_case_name(name)
                images = source.images if channel is None else (source.images[channel],)
                copies = {
                    path: f"{name}_{number:04d}{FILE_ENDING}"
                    for number, path in enumerate(images)
                    if spacing_from is not None and _needs_copy(path, spacing_from)
                }
                cases[name] = PlannedCase(member, source, modality, images, copies)
    return cases


def _needs_copy(image: Path, spacing_from: str) -> bool:
    """Whether readers that do not know `spacing_from` would not know its spacing. Broken images are told later."""
    try:
        return open_image(image, spacing_from).chosen
    except HermesError:
        return False


def _splits_channels(member: SourceMember) -> bool:
    return member.specification.channels is not None


def _collection(
    members: Sequence[SourceMember],
    tasks: TaskPlan,
    cases: dict[str, PlannedCase],
    may_overlap: Sequence[Sequence[str]],
) -> Collection:
    modalities = {modality: None for member in members for modality in member.channels if modality != UNKNOWN_MODALITY}
    numbers = Counter(case.member.name for case in cases.values())
    unlabelled = Counter(case.member.name for case in cases.values() if case.source.label is None)
    names = TaskNames.of_plan(tasks)
    of_cases = {name: _case(case, tasks) for name, case in cases.items()}
    _check_taught(tasks, of_cases)
    parted = {frozenset(case.annotated) for case in of_cases.values() if case.annotated}
    return Collection(
        tasks=tasks.tasks,
        modalities=(*modalities, UNKNOWN_MODALITY),
        members={
            member.name: _member(member, tasks, numbers[member.name], unlabelled[member.name]) for member in members
        },
        cases=of_cases,
        excludes=exclusions(names, may_overlap, parted),
        absent=absences(names, {member.name: member.specification for member in members}, may_overlap),
    )


def _case(case: PlannedCase, tasks: TaskPlan) -> Case:
    """A case with the tasks that it annotates, where these are not all of its member's.

    Raises:
        HermesError: it annotates only labels that are left out.
    """
    name, source = case.member.name, case.source
    annotated = None
    if source.annotated is not None:
        task_of = task_of_labels(tasks.members[name]) if source.annotated else {}
        annotated = tuple(task for label, task in task_of.items() if label in source.annotated)
        if source.annotated and not annotated:
            raise HermesError(
                f"case {source.name} of member {name} annotates only {listed(source.annotated)}, which labels: leaves "
                "out, so it annotates nothing: keep one of them, or say under unlabelled that it has no labels"
            )
        if annotated == tuple(task_of.values()) and annotated:
            annotated = None
    return Case(name, case.modality, source.patient, annotated)


def _check_taught(tasks: TaskPlan, cases: Mapping[str, Case]) -> None:
    """Raises: HermesError where no case annotates a task, so that nothing would be learnt of it."""
    annotated: set[str] = set()
    for case in cases.values():
        annotated.update(tasks.members[case.member].tasks if case.annotated is None else case.annotated)
    for name, member in tasks.members.items():
        for label, task in task_of_labels(member).items():
            if task not in annotated:
                raise HermesError(
                    f"no case annotates the label {label} of member {name}: correct what annotated or unlabelled says, "
                    f"or leave the label out (labels: {{{label}: null}})"
                )


def _member(member: SourceMember, tasks: TaskPlan, cases: int, unlabelled: int) -> Member:
    own = tasks.members.get(member.name, NO_TASKS)
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
        sampling_weight=math.sqrt(cases - (1 - UNLABELLED_SHARE) * unlabelled) if weight is None else float(weight),
    )


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
