"""nnU-Net's own JSON files, as far as Hermes reads them; other keys are nnU-Net's or the user's, and may be there."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.collection import CaseName, FileEnding, Labels
from hermes_nnunet.core.files import read_json
from hermes_nnunet.schema import Number, Text, checked, must_be

_THEIRS = ConfigDict(extra="allow")


_Three = Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=3, max_length=3)]


class _Files(TypedDict):
    images: Annotated[list[Text], Field(min_length=1)]
    label: Text

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


class _Dataset(TypedDict):
    """dataset.json of a member, whose labels and channels the merge checks by what they mean."""

    dataset: NotRequired[dict[CaseName, _Files]]

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


class _ModelDataset(_Dataset):
    """dataset.json of a collection or a model."""

    labels: Labels
    channel_names: dict[Text, Text]
    file_ending: FileEnding


class _Architecture(TypedDict):
    network_class_name: Any
    arch_kwargs: dict[Text, Any]
    _kw_requires_import: list[Text]

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


class Configuration(TypedDict):
    """A configuration of plans."""

    architecture: NotRequired[_Architecture]
    normalization_schemes: NotRequired[list[Any]]
    data_identifier: NotRequired[Text]

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


class _Fold(TypedDict):
    train: list[Text]
    val: list[Text]


class Plans(TypedDict):
    """Plans, as far as classes and functions are named in them."""

    configurations: dict[Text, Configuration]

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


class _NamedPlans(Plans):
    dataset_name: Text


class _Fingerprint(TypedDict):
    spacings: list[_Three]
    shapes_after_crop: list[_Three]

    __pydantic_config__ = _THEIRS  # type: ignore[misc]


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
    return _as_it_is(_Dataset, path, remedy)


def read_plans(path: Path, remedy: str) -> dict[str, Any]:
    """A plans file.

    Raises:
        HermesError: it cannot be read, or has no configurations or name of the data set.
    """
    return _as_it_is(_NamedPlans, path, remedy)


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
