"""Telling data sets of nnU-Net v1 and of the Medical Segmentation Decathlon, and what makes members of them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hermes_nnunet.errors import HermesError

# Of v1; the Decathlon's images have their channels in a fourth dimension.
_CHANNEL_FILE = re.compile(r".+_\d{4}\.nii(\.gz)?")


def check_not_old(dataset_json: Mapping[str, Any], folder: Path) -> None:
    """See that dataset.json is not of nnU-Net v1 or of the Decathlon.

    Raises:
        HermesError: it is; the message has the command that converts the data set.
    """
    if "channel_names" in dataset_json or "modality" not in dataset_json:
        return
    images = [path.name for path in sorted((folder / "imagesTr").glob("*.nii*")) if not path.name.startswith(".")]
    name = re.sub(r"^(?:Dataset|Task)\d+_", "", folder.name)
    if images and all(_CHANNEL_FILE.fullmatch(image) for image in images):
        raise HermesError(
            f"{folder / 'dataset.json'} is of nnU-Net v1: convert the data set with "
            f"'nnUNetv2_convert_old_nnUNet_dataset {folder} DatasetXXX_{name}' (XXX: a free id), and name that id"
        )
    raise HermesError(
        f"{folder / 'dataset.json'} is of the Medical Segmentation Decathlon: convert the data set with 'hermes_nnunet "
        f"convert msd {folder} -d ID' (or nnUNetv2_convert_MSD_dataset), where ID is a free id, and name that id"
    )
