"""The members of a merge as they lie on disk."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.images.endings import IMAGE_ENDINGS, KNOWN
from hermes_nnunet.core.nnunet_files import read_member_json
from hermes_nnunet.core.nnunet_folders import find_dataset
from hermes_nnunet.core.wording import did_you_mean, listed, problem_lines
from hermes_nnunet.data.merge.annotation import (
    Saying,
    annotated_labels,
    has_pseudo_labels,
    sayings_of_dataset,
    sayings_of_files,
    sayings_of_patterns,
    sayings_of_table,
    unlabelled_cases,
)
from hermes_nnunet.data.merge.member_files import Files, files_in_folders
from hermes_nnunet.data.merge.old_datasets import check_not_old
from hermes_nnunet.data.merge.own_labels import OwnLabels, read_own_labels
from hermes_nnunet.data.merge.specification import SHOWN, MemberSpecification, check_word
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_case_name, check_file_name, quoted
from hermes_nnunet.modalities import CT, ONE_CHANNEL_REMEDY, channels_named_ct
from hermes_nnunet.schema import shown

_MEND_FILES = "every case needs an image for each channel, and a label file unless unlabelled names it"


@dataclass(frozen=True)
class SourceCase:
    """A case of a member.

    Attributes:
        images: of every channel.
        label: its label file; None where it has no labels.
        modalities: that it is used as.
        annotated: own labels that its label file annotates; None for all of them.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    patient: str
    modalities: tuple[str, ...]
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SourceMember:
    """A member as its folder describes it.

    Attributes:
        channels: modality -> channel; None where an image of the collection has all channels.
        labels: none where no image has labels.
        notes: what people should know of its files, such as those that are not used.
        warnings: what people should think about.
        has_pseudo_labels: a model has made its labels, so that nothing can be validated on them.
    """

    specification: MemberSpecification
    name: str
    dataset_name: str
    folder: Path
    channel_names: dict[str, str]
    file_ending: str
    channels: dict[str, int | None]
    labels: OwnLabels
    cases: tuple[SourceCase, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    has_pseudo_labels: bool = False

    @property
    def is_unlabelled(self) -> bool:
        """Whether none of its images has labels."""
        return self.specification.unlabelled is True

    @property
    def image_channels(self) -> int:
        """Channels of one of its images in the collection."""
        return len(self.channel_names) if None in self.channels.values() else 1


def read_member(raw: Path, specification: MemberSpecification, spacing_from: str | None = None) -> SourceMember:
    """Find a member in the folder of raw data sets and read its dataset.json and list of files.

    Args:
        raw: the folder.
        specification: what the merge says of the member.
        spacing_from: what decides the spacing where a header says two.

    Raises:
        HermesError: it is not there, of a format that is not read, or incomplete.
    """
    dataset_name = check_file_name(find_dataset(raw, specification.dataset), "data set")
    folder = raw / dataset_name
    dataset_json = read_member_json(folder / "dataset.json", "a member needs nnU-Net's dataset.json")
    where = str(folder / "dataset.json")
    if HERMES_BLOCK in dataset_json:
        raise HermesError(f"{dataset_name} is itself a collection: name its members instead of it")
    check_not_old(dataset_json, folder)
    file_ending = _file_ending(dataset_json, where)
    channel_names = _channel_names(dataset_json, where)
    name = _name(specification, dataset_name)
    files, unlabelled, notes = _files(specification, name, folder, dataset_json, file_ending, len(channel_names))
    labels = OwnLabels((), None) if specification.unlabelled is True else read_own_labels(dataset_json, where)
    sayings, warnings = _sayings(specification, name, files, dataset_json, where, unlabelled, spacing_from)
    annotated = annotated_labels(sayings, sorted(files), labels, unlabelled, name)
    cases = _cases(specification, folder, files, annotated)
    is_pseudo = has_pseudo_labels(dataset_json, where)
    channels = _channels(specification, channel_names, where)
    return SourceMember(
        specification=specification,
        name=name,
        dataset_name=dataset_name,
        folder=folder,
        channel_names=channel_names,
        file_ending=file_ending,
        channels=channels,
        labels=labels,
        cases=cases,
        notes=(*notes, *_count_notes(dataset_json, len(cases), where), *_pseudo_notes(is_pseudo, name)),
        warnings=(*warnings, *_ct_warnings(channels, channel_names, where)),
        has_pseudo_labels=is_pseudo,
    )


def _count_notes(dataset_json: Mapping[str, Any], cases: int, where: str) -> list[str]:
    declared = dataset_json.get("numTraining", cases)
    return [] if declared == cases else [f"{where} says numTraining {shown(declared)}, but there are {cases} cases"]


def _pseudo_notes(is_pseudo: bool, member: str) -> list[str]:
    if not is_pseudo:
        return []
    return [f"a model has made the labels of {member}, so its cases are in the training half of every fold only"]


def _name(specification: MemberSpecification, dataset_name: str) -> str:
    if specification.name is not None:
        return specification.name
    name = dataset_name.partition("_")[2]
    check_word(name, f"set name: for {dataset_name} in a YAML file, because its own")
    return name


def _file_ending(dataset_json: Mapping[str, Any], where: str) -> str:
    ending = dataset_json.get("file_ending")
    if isinstance(ending, str) and f".{ending}".lower() in IMAGE_ENDINGS:
        return f".{ending}"
    if not isinstance(ending, str) or ending.lower() not in IMAGE_ENDINGS:
        file = f"x_0000{ending if isinstance(ending, str) else '.mhd'}"
        raise HermesError(
            f"{where}: file_ending is {shown(ending)}, but members' files must be of one of {KNOWN}: convert every "
            f"image and label file, for example with SimpleITK.WriteImage(SimpleITK.ReadImage({quoted(file)}), "
            "'x_0000.nii.gz'), and set file_ending to .nii.gz"
        )
    return ending


def _channel_names(dataset_json: Mapping[str, Any], where: str) -> dict[str, str]:
    names = dataset_json.get("channel_names")
    if not isinstance(names, dict) or set(names) != {str(index) for index in range(len(names))} or not names:
        raise HermesError(
            f"{where}: channel_names is {shown(names)}: give one name a channel, counted from 0, for example "
            '{"0": "CT"}'
        )
    return {key: str(names[key]) for key in sorted(names, key=int)}


def _channels(
    specification: MemberSpecification, channel_names: Mapping[str, str], where: str
) -> dict[str, int | None]:
    if specification.channels is not None:
        chosen: dict[str, int | None] = {
            modality: _channel_index(channel, channel_names, where)
            for channel, modality in specification.channels.items()
        }
        if len(set(chosen.values())) < len(chosen):
            raise HermesError(f"channels of member {specification.dataset} name one channel twice: once each")
        return chosen
    channel = None if specification.channel is None else _channel_index(specification.channel, channel_names, where)
    return dict.fromkeys(specification.modalities, channel)


def _ct_warnings(channels: Mapping[str, int | None], channel_names: Mapping[str, str], where: str) -> list[str]:
    """Of a CT member with several channels, none of which is named CT: phases of a contrast agent, or a mistake."""
    if CT not in channels or channels[CT] is not None or len(channel_names) == 1 or channels_named_ct(channel_names):
        return []
    return [
        f"{where}: its modality is CT, so all its channels ({listed(channel_names.values())}) are taken for CT; if some"
        f' are not in Hounsfield units, name those that are "CT" in channel_names, or {ONE_CHANNEL_REMEDY}'
    ]


def _channel_index(channel: int | str, channel_names: Mapping[str, str], where: str) -> int:
    names = list(channel_names.values())
    if names.count(str(channel)) == 1 and isinstance(channel, str):
        return names.index(channel)
    if str(channel) in channel_names:
        return int(channel)
    raise HermesError(
        f"{where} has no channel {channel!r}{did_you_mean(channel, names)}: its channels are "
        f"{listed(f'{key} ({name})' for key, name in channel_names.items())}"
    )


def _sayings(
    specification: MemberSpecification,
    member: str,
    files: Files,
    dataset_json: Mapping[str, Any],
    where: str,
    unlabelled: frozenset[str],
    spacing_from: str | None,
) -> tuple[list[Saying], tuple[str, ...]]:
    """What is said of the labels that cases annotate, and what people should think about."""
    if specification.unlabelled is True:
        return [], ()
    sayings = sayings_of_dataset(dataset_json, where)
    said = specification.annotated
    if said is None:
        return sayings, ()
    if isinstance(said, Mapping):
        return [*sayings, *sayings_of_patterns(said, sorted(files), member)], ()
    if said != SHOWN:
        return [*sayings, *sayings_of_table(Path(said))], ()
    known = {saying.case for saying in sayings}
    to_read = {case: files[case][1] for case in sorted(files) if case not in known and case not in unlabelled}
    shown = sayings_of_files(to_read, read_own_labels(dataset_json, where), spacing_from)
    return [*sayings, *shown], (
        f"annotated of member {member} is '{SHOWN}': where a structure is truly absent from an image, its case is "
        "taken not to annotate it, and teaches nothing of where it is not",
    )


def _files(
    specification: MemberSpecification,
    member: str,
    folder: Path,
    dataset_json: Mapping[str, Any],
    ending: str,
    channels: int,
) -> tuple[Files, frozenset[str], list[str]]:
    """Files of the cases, which of these have no labels, and what people should know of the files."""
    notes: list[str] = []
    if "dataset" in dataset_json:
        files, problems = _referenced_files(folder, dataset_json["dataset"], channels)
    else:
        files, problems, notes = files_in_folders(folder, ending, channels)
    for name in files:
        check_case_name(name, f"case of {folder.name}:")
    unlabelled = unlabelled_cases(specification.unlabelled, sorted(files), member) if files else frozenset()
    needed = [(*images, *(() if case in unlabelled else (label,))) for case, (images, label) in files.items()]
    problems += [f"{path} is missing" for paths in needed for path in paths if not path.is_file()]
    if problems:
        raise HermesError(problem_lines(problems, _MEND_FILES))
    if not files:
        raise HermesError(f"{folder / 'imagesTr'} holds no images (<case>_0000{ending}): a member needs cases")
    unused = [files[case][1].name for case in sorted(unlabelled) if files[case][1].is_file()]
    if unused:
        notes.append(f"label files of {member} that are not used, since unlabelled names their cases: {listed(unused)}")
    return files, unlabelled, notes


def _cases(
    specification: MemberSpecification, folder: Path, files: Files, annotated: Mapping[str, tuple[str, ...]]
) -> tuple[SourceCase, ...]:
    pattern = specification.patient_pattern
    modalities_of = _modalities_of(files, specification, folder)
    return tuple(
        SourceCase(
            name,
            tuple(images),
            None if annotated.get(name) == () else label,
            patient=name if pattern is None else _patient(name, pattern, folder),
            modalities=modalities_of[name],
            annotated=annotated.get(name),
        )
        for name, (images, label) in sorted(files.items())
    )


def _referenced_files(folder: Path, dataset: Mapping[str, Any], channels: int) -> tuple[Files, list[str]]:
    """Files of a data set whose dataset.json references them."""

    def absolute(path: str) -> Path:
        return Path(os.path.abspath(folder / os.path.expandvars(path)))

    files = {
        name: ([absolute(image) for image in entry["images"]], absolute(entry.get("label", f"label of {name}")))
        for name, entry in dataset.items()
    }
    problems = [
        f"{folder / 'dataset.json'}: case {name} has {len(images)} images for {channels} channels"
        for name, (images, _) in files.items()
        if len(images) != channels
    ]
    return files, problems


def _modalities_of(
    cases: Iterable[str], specification: MemberSpecification, folder: Path
) -> dict[str, tuple[str, ...]]:
    patterns = specification.modality_patterns
    if not patterns:
        return dict.fromkeys(cases, specification.modalities)
    found = {
        case: tuple(modality for modality, pattern in patterns.items() if re.search(pattern, case))
        for case in sorted(cases)
    }
    for case, modalities in found.items():
        if len(modalities) != 1:
            raise HermesError(
                f"case {case} of {folder.name} matches the patterns of {listed(modalities) or 'no modality'}: every "
                "case must match one; change the patterns under modality"
            )
    for modality, pattern in patterns.items():
        if (modality,) not in found.values():
            raise HermesError(
                f"pattern '{pattern}' of modality {modality} matches no case of {folder.name}: change it, or leave the "
                "modality out"
            )
    return found


def _patient(case: str, pattern: str, folder: Path) -> str:
    match = re.search(pattern, case)
    patient = None
    if match is not None:
        group: str | int = "patient" if "patient" in match.re.groupindex else min(1, match.re.groups)
        patient = match[group]
    if not patient:
        raise HermesError(
            f"patient_pattern '{pattern}' finds no patient in case {case} of {folder.name}: change the pattern, or "
            "leave it out if every case is a patient of its own"
        )
    return patient
