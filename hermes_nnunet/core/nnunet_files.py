"""nnU-Net's own JSON files, as far as Hermes reads them; other keys are nnU-Net's or the user's, and may be there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.collection import HERMES_BLOCK, CaseName, FileEnding, Labels
from hermes_nnunet.core.files import read_json
from hermes_nnunet.schema import WITH_MORE, Number, Text, checked, must_be

SPLITS_FILE = "splits_final.json"
FINGERPRINT = "dataset_fingerprint.json"

_Three = Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=3, max_length=3)]


class _Images(TypedDict):
    images: Annotated[list[Text], Field(min_length=1)]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Files(_Images):
    label: Text


class _FilesOfMember(_Images):
    """An image without labels needs no label file before the merge has made one."""

    label: NotRequired[Text]


class _MemberDataset(TypedDict):
    """dataset.json of a member, whose labels and channels the merge checks by what they mean."""

    dataset: NotRequired[dict[CaseName, _FilesOfMember]]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _ModelDataset(TypedDict):
    """dataset.json of a collection or a model."""

    dataset: NotRequired[dict[CaseName, _Files]]
    labels: Labels
    channel_names: dict[Text, Text]
    file_ending: FileEnding

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Architecture(TypedDict):
    network_class_name: Any
    arch_kwargs: dict[Text, Any]
    _kw_requires_import: list[Text]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class Configuration(TypedDict):
    """A configuration of plans."""

    architecture: NotRequired[_Architecture]
    normalization_schemes: NotRequired[list[Any]]
    data_identifier: NotRequired[Text]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Fold(TypedDict):
    train: list[Text]
    val: list[Text]


class Plans(TypedDict):
    """Plans, as far as classes and functions are named in them."""

    configurations: dict[Text, Configuration]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _NamedPlans(Plans):
    dataset_name: Text


class _Fingerprint(TypedDict):
    spacings: list[_Three]
    shapes_after_crop: list[_Three]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


_Splits = Annotated[
    list[_Fold],
    Field(min_length=1),
    must_be('a list of folds, each {"train": [cases], "val": [cases]}'),
]


def read_dataset_json(path: Path, remedy: str) -> dict[str, Any]:
    """dataset.json of a collection or a model.

    Raises:
        HermesError: it cannot be read, or lacks what a model needs.
    """
    return _as_it_is(_ModelDataset, path, remedy)


def read_member_json(path: Path, remedy: str) -> dict[str, Any]:
    """dataset.json of a data set; labels and channels may be anything.

    Raises:
        HermesError: it cannot be read, or refers to files in another way than nnU-Net does.
    """
    return _as_it_is(_MemberDataset, path, remedy)


def read_plans(path: Path, remedy: str) -> dict[str, Any]:
    """A plans file.

    Raises:
        HermesError: it cannot be read, or has no configurations or name of the data set.
    """
    return _as_it_is(_NamedPlans, path, remedy)


def without_cases(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset.json of a collection without its table of cases, which may be many megabytes."""
    content = {key: value for key, value in dataset_json.items() if key != "dataset"}
    if HERMES_BLOCK in content:
        content[HERMES_BLOCK] = {**content[HERMES_BLOCK], "cases": {}}
    return content


def read_splits(path: Path, remedy: str) -> list[dict[str, list[str]]]:
    """The folds of a splits_final.json.

    Raises:
        HermesError: it cannot be read, or is no list of folds.
    """
    content = read_json(path, remedy)
    checked(_Splits, content, str(path), remedy)
    return content


def read_fingerprint(path: Path, remedy: str) -> dict[str, Any]:
    """nnU-Net's fingerprint of a data set, with sizes and spacings of all cases.

    Raises:
        HermesError: it cannot be read, or lacks them.
    """
    return _as_it_is(_Fingerprint, path, remedy)


def _as_it_is(schema: type, path: Path, remedy: str) -> dict[str, Any]:
    """The content of a file, with all that the schema does not name."""
    content = read_json(path, remedy)
    checked(schema, content, str(path), remedy)
    return content
