"""A merge as a YAML file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hermes_nnunet.core.wording import did_you_mean
from hermes_nnunet.data.merge.annotation import SHOWN
from hermes_nnunet.data.merge.specification import OTHERS, MemberSpecification, MergeSpecification
from hermes_nnunet.errors import HermesError

MERGE_KEYS = (
    "name",
    "into",
    "new_modalities",
    "members",
    "shared_tasks",
    "shared_patients",
    "may_overlap",
    "spacing_from",
)
MEMBER_KEYS = (
    "dataset",
    "modality",
    "name",
    "channel",
    "channels",
    "labels",
    "sampling_weight",
    "patient_pattern",
    "absent",
    "annotated",
    "unlabelled",
)


def read_merge_file(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    into: int | None = None,
    new_modalities: Sequence[str] = (),
    spacing_from: str | None = None,
) -> MergeSpecification:
    """Read a merge from a YAML file; what is given here wins over the file's, but `new_modalities` add to it.

    Raises:
        HermesError: the file is missing or is no YAML, or a key or value in it is not possible.
    """
    content = _load(Path(path))
    where = str(path)
    _check_mapping(content, MERGE_KEYS, where)
    name = _text(content, "name", where) if name is None else name
    into = _into(content, where) if into is None else into
    members = content.get("members")
    if not isinstance(members, list) or not members:
        raise HermesError(f"{where}: members must be a list of data sets, each with dataset: and modality:")
    return MergeSpecification(
        name=name,
        into=into,
        members=tuple(
            _member(member, f"{where}: member {index}", Path(path).parent)
            for index, member in enumerate(members, start=1)
        ),
        new_modalities=(*_texts(content, "new_modalities", where), *new_modalities),
        shared_tasks=_shared_tasks(content, where),
        shared_patients=_shared_patients(content, where),
        may_overlap=_may_overlap(content, where),
        spacing_from=_optional_text(content, "spacing_from", where) if spacing_from is None else spacing_from,
    )


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 041 as the id 41, not as an octal number, and refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(node.value) if node.value.isdecimal() else super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise HermesError(f"{path} does not exist: give --members the YAML file of the merge") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HermesError(f"{path} cannot be read ({error}): give --members the YAML file of the merge") from None
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise HermesError(f"{path} is not valid YAML: {message}") from None


def _check_mapping(content: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(content, dict):
        raise HermesError(f"{where}: expected keys with values ({', '.join(known)}), found {content!r}")
    for key in content:
        if key not in known:
            raise HermesError(
                f"{where}: unknown key '{key}'{did_you_mean(key, known)}: the keys here are {', '.join(known)}"
            )


def _member(content: Any, where: str, folder: Path) -> MemberSpecification:
    _check_mapping(content, MEMBER_KEYS, where)
    dataset = content.get("dataset")
    if isinstance(dataset, bool) or not isinstance(dataset, int | str) or dataset == "":
        raise HermesError(
            f"{where}: dataset must be an id such as 301 or a folder name such as Dataset301_HeadNeckCord"
        )
    if isinstance(dataset, str) and dataset.isdecimal():
        dataset = int(dataset)
    where = f"{where} ({dataset})"
    weight = content.get("sampling_weight")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float)):
        raise HermesError(f"{where}: sampling_weight must be a number above 0, not {weight!r}")
    channel = content.get("channel")
    if channel is not None:
        _check_channel(channel, where)
    return MemberSpecification(
        dataset=dataset,
        modality=_modality(content, where),
        name=_optional_text(content, "name", where),
        channel=channel,
        channels=_channels(content, where),
        labels=_labels(content, where),
        sampling_weight=weight,
        patient_pattern=_optional_text(content, "patient_pattern", where),
        absent=_absent(content, where),
        annotated=_annotated(content, where, folder),
        unlabelled=_unlabelled(content, where),
    )


def _modality(content: Mapping[str, Any], where: str) -> str | dict[str, str] | None:
    patterns = content.get("modality")
    if not isinstance(patterns, dict):
        return _optional_text(content, "modality", where)
    words = [word for pair in patterns.items() for word in pair]
    if not words or not all(isinstance(word, str) for word in words):
        raise HermesError(
            f"{where}: modality must be a word, or map each modality to a pattern of its cases' names, for example "
            f"{{T1: '_t1$', T2: '_t2$'}}, not {patterns!r}"
        )
    return patterns


def _check_channel(channel: Any, where: str) -> None:
    if isinstance(channel, bool) or not isinstance(channel, int | str):
        raise HermesError(f"{where}: a channel is named by its index or its name, not {channel!r}")


def _channels(content: Mapping[str, Any], where: str) -> dict[int | str, str] | None:
    channels = content.get("channels")
    if channels is None:
        return None
    if not isinstance(channels, dict):
        raise HermesError(f"{where}: channels must map each channel to its modality, for example {{T1: T1, 1: FLAIR}}")
    for channel, modality in channels.items():
        _check_channel(channel, where)
        if not isinstance(modality, str):
            raise HermesError(f"{where}: modality of channel {channel} must be a word, not {modality!r}")
    return channels


def _labels(content: Mapping[str, Any], where: str) -> dict[str, str | None]:
    labels = content.get("labels")
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise HermesError(f"{where}: labels must map own labels to new names, or to null to leave them out")
    for own, renamed in labels.items():
        # YAML reads some bare words, such as no, as something else.
        if not isinstance(own, str) or not (renamed is None or isinstance(renamed, str)):
            raise HermesError(
                f"{where}: labels hold {own!r}: {renamed!r}, which are not both words: put them in quotes"
            )
    return labels


def _shared_tasks(content: Mapping[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    shared = content.get("shared_tasks")
    if shared is None:
        return {}
    if not isinstance(shared, dict) or not all(isinstance(name, str) for name in shared):
        raise HermesError(f"{where}: shared_tasks must map a task name to a list of member/label")
    return {name: _texts(shared, name, f"{where}: shared_tasks") for name in shared}


def _may_overlap(content: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], ...]:
    groups = content.get("may_overlap")
    if groups is None:
        return ()
    if not isinstance(groups, list) or not all(_is_list_of_texts(group) for group in groups):
        raise HermesError(
            f"{where}: may_overlap must be a list of lists of names, for example [[cord/stem, medulla]], not {groups!r}"
        )
    return tuple(map(tuple, groups))


def _absent(content: Mapping[str, Any], where: str) -> str | tuple[str, ...]:
    absent = content.get("absent")
    if absent is None or absent == OTHERS:
        return absent or ()
    if not _is_list_of_texts(absent):
        raise HermesError(f"{where}: absent must be a list of names, or the word {OTHERS}, not {absent!r}")
    return tuple(absent)


def _annotated(content: Mapping[str, Any], where: str, folder: Path) -> dict[str, tuple[str, ...]] | str | None:
    """Patterns and their labels; the word "shown"; or a CSV file, which is found beside the merge file."""
    annotated = content.get("annotated")
    if annotated is None or annotated == SHOWN:
        return annotated
    if isinstance(annotated, str):
        return str(folder / annotated)
    if not isinstance(annotated, dict) or not all(
        isinstance(pattern, str) and _is_list_of_texts(labels) for pattern, labels in annotated.items()
    ):
        raise HermesError(
            f"{where}: annotated must map patterns of case names to lists of labels, for example "
            f"{{'a_*': [liver, spleen]}}, or be a CSV file, or the word {SHOWN}, not {annotated!r}"
        )
    return {pattern: tuple(labels) for pattern, labels in annotated.items()}


def _unlabelled(content: Mapping[str, Any], where: str) -> bool | tuple[str, ...]:
    unlabelled = content.get("unlabelled", False)
    if isinstance(unlabelled, bool):
        return unlabelled
    if not _is_list_of_texts(unlabelled):
        raise HermesError(
            f"{where}: unlabelled must be true, false or a list of patterns of case names, not {unlabelled!r}"
        )
    return tuple(unlabelled)


def _is_list_of_texts(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(text, str) for text in content)


def _shared_patients(content: Mapping[str, Any], where: str) -> bool | tuple[str, ...]:
    shared = content.get("shared_patients", False)
    if isinstance(shared, bool):
        return shared
    if isinstance(shared, str):
        raise HermesError(f"{where}: shared_patients must be true, false or a list of members, not {shared!r}")
    return _texts(content, "shared_patients", where)


def _texts(content: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    texts = content.get(key)
    if texts is None:
        return ()
    if not _is_list_of_texts(texts):
        raise HermesError(f"{where}: {key} must be a list of words, not {texts!r}")
    return tuple(texts)


def _optional_text(content: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if content.get(key) is None else _text(content, key, where)


def _text(content: Mapping[str, Any], key: str, where: str) -> str:
    text = content.get(key)
    if text is None:
        raise HermesError(f"{where}: {key} is missing; name it there or with --{key}")
    if not isinstance(text, str):
        raise HermesError(f"{where}: {key} must be a word, not {text!r}: put it in quotes")
    return text


def _into(content: Mapping[str, Any], where: str) -> int:
    into = content.get("into")
    if into is None:
        raise HermesError(f"{where}: into is missing; name the collection's id there or with --into")
    if isinstance(into, str) and into.isdecimal():
        return int(into)
    if isinstance(into, bool) or not isinstance(into, int):
        raise HermesError(f"{where}: into must be the collection's id, such as 900, not {into!r}")
    return into
