"""nnU-Net's folders, and the data sets in them."""

import os
import re
from pathlib import Path

from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.errors import HermesError

RAW = "nnUNet_raw"
PREPROCESSED = "nnUNet_preprocessed"
RESULTS = "nnUNet_results"

_DATASET = re.compile(r"Dataset\d{3}_.+")
_NEAR_IDS = 5


def raw_folder() -> Path:
    """The folder of raw data sets. Links are not followed: a data set may be a link into another folder.

    Raises:
        HermesError: the environment variable nnUNet_raw is not set, or names no folder.
    """
    folder = optional_folder(RAW)
    if folder is None:
        raise HermesError(f"the environment variable {RAW} is not set: set it to the folder that holds your data sets")
    if not folder.is_dir():
        raise HermesError(f"{RAW}={folder} is not a folder: set {RAW} to the folder that holds your data sets")
    return folder


def optional_folder(variable: str) -> Path | None:
    """The folder that one of nnU-Net's environment variables names, or None."""
    value = os.environ.get(variable)
    return Path(os.path.abspath(value)) if value else None


def set_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's environment variables names, which need not be there yet.

    Raises:
        HermesError: the variable is not set.
    """
    folder = optional_folder(variable)
    if folder is None:
        raise HermesError(f"{variable} is not set: export it, as for nnU-Net's own commands")
    return folder


def dataset_id(name: str) -> int:
    """303 of Dataset303_CardiacCine."""
    return int(name.removeprefix("Dataset").partition("_")[0])


def datasets_with_id(folder: Path, number: int) -> list[str]:
    """Names of the data sets of this id in a folder, which may be missing."""
    return sorted(name for name in datasets_in(folder) if dataset_id(name) == number)


def find_dataset(folder: Path, dataset: int | str, variable: str = RAW) -> str:
    """Folder name of a data set, given as its id or its folder name.

    Args:
        folder: where it lies.
        dataset: its id, or the name of its folder.
        variable: the environment variable that names `folder`.

    Raises:
        HermesError: there is none, or several have this id.
    """
    where = f"{variable}={folder}"
    present = sorted(datasets_in(folder))
    if isinstance(dataset, str):
        if dataset in present:
            return dataset
        raise HermesError(
            f"data set '{dataset}' is not in {where}{did_you_mean(dataset, present)}: give the id or the name of a "
            f"folder there ({listed(present) or 'it has no data sets'})"
        )
    found = datasets_with_id(folder, dataset)
    if len(found) > 1:
        raise HermesError(f"data set {dataset} is not unique in {where} ({listed(found)}): give the folder's name")
    if not found:
        old = sorted(path.name for path in folder.glob(f"Task{dataset:03d}_*") if path.is_dir())
        if old:
            raise HermesError(
                f"data set {dataset} is in {where} as {old[0]} only, a data set of nnU-Net v1 or the Decathlon: "
                "convert it with nnUNetv2_convert_old_nnUNet_dataset or 'hermes_nnunet convert msd'"
            )
        near = sorted({dataset_id(name) for name in present}, key=lambda number: abs(number - dataset))[:_NEAR_IDS]
        there = f"near ids there: {listed(sorted(near))}" if near else "it has no data sets"
        raise HermesError(f"data set {dataset} is not in {where} ({there}): correct the id or the variable {variable}")
    return found[0]


def datasets_in(folder: Path) -> list[str]:
    """Names of the data sets in a folder, which may be missing."""
    if not folder.is_dir():
        return []
    return [entry.name for entry in os.scandir(folder) if _DATASET.fullmatch(entry.name) and entry.is_dir()]
