"""What a training reads and where it writes, as one machine sees it."""

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.core.digests import digest_of_file
from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_plans
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RESULTS, set_folder
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import PLANS_REMEDY


@dataclass(frozen=True)
class Inputs:
    """A machine's view of a training's folders.

    Attributes:
        machine: its name.
        results: nnUNet_results.
        dataset: folder of the collection in nnUNet_preprocessed.
        digests: name in `dataset` -> hash of the file's content, or of the names in a folder.
    """

    machine: str
    results: str
    dataset: str
    digests: dict[str, str]


def find_inputs(dataset: str, plans: str, configuration: str, pretrained_weights: str | None) -> Inputs:
    """Look for everything that a training reads.

    Raises:
        HermesError: something is missing.
    """
    folder = set_folder(PREPROCESSED) / _dataset_name(dataset)
    content = read_plans(folder / f"{plans}.json", PLANS_REMEDY)
    if configuration not in content["configurations"]:
        known = ", ".join(content["configurations"])
        raise HermesError(f"{folder / plans}.json has no configuration {configuration}: use {known}")
    if pretrained_weights is not None and not Path(pretrained_weights).is_file():
        raise HermesError(f"-pretrained_weights: {pretrained_weights} does not exist")
    digests = {name: _digest_of(folder / name) for name in (f"{plans}.json", "dataset.json", SPLITS_FILE)}
    images = content["configurations"][configuration]["data_identifier"]
    digests[images] = _digest_of_names(folder / images)
    return Inputs(platform.node(), str(set_folder(RESULTS)), str(folder), digests)


def _dataset_name(dataset: str) -> str:
    from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

    try:
        return str(maybe_convert_to_dataset_name(dataset))
    except (RuntimeError, ValueError) as error:
        raise HermesError(f"collection {dataset}: {str(error).splitlines()[0]}") from None


def _digest_of(path: Path) -> str:
    try:
        return digest_of_file(path)
    except FileNotFoundError:
        raise HermesError(f"{path} does not exist: {PLANS_REMEDY}") from None


def _digest_of_names(folder: Path) -> str:
    if not folder.is_dir():
        raise HermesError(f"{folder} does not exist: {PLANS_REMEDY}")
    return hashlib.sha256("\n".join(sorted(os.listdir(folder))).encode()).hexdigest()
