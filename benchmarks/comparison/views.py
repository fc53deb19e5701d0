"""Predictions of cases through the views of the trained Hermes, or by single models, with stock nnUNetv2_predict."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from comparison.data import CONFIGURATION, Workplace
from comparison.running import Training
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.nnunet_files import SPLITS_FILE


def held_out_cases(workplace: Workplace, member: int, count: int, fold: int = 0) -> list[str]:
    """The first held-out cases of a member, by name."""
    return _cases(workplace, member, fold, "val")[:count]


def training_cases(workplace: Workplace, member: int, fold: int = 0) -> list[str]:
    """The training cases of a member, by name."""
    return _cases(workplace, member, fold, "train")


def _cases(workplace: Workplace, member: int, fold: int, half: str) -> list[str]:
    folds = read_json(workplace.raw(member) / SPLITS_FILE, "link the members again")
    return sorted(folds[fold][half])


def image_of(workplace: Workplace, member: int, case: str) -> Path:
    """The only channel of a case."""
    return workplace.raw(member) / "imagesTr" / f"{case}_0000.nii.gz"


def predictions_of(training: Training, workplace: Workplace, name: str) -> Path:
    """Folder of what `predict` has segmented under a name."""
    return training.folder(workplace) / "predictions" / name


def predict_once(
    training: Training,
    workplace: Workplace,
    images: Mapping[str, Path],
    view: int,
    name: str,
    device: str,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """`predict`, unless all is there from an earlier run."""
    files = {case: predictions_of(training, workplace, name) / f"{case}.nii.gz" for case in images}
    if all(file.is_file() for file in files.values()):
        return files
    return predict(training, workplace, images, view, name, device, environment)


def predict(
    training: Training,
    workplace: Workplace,
    images: Mapping[str, Path],
    view: int,
    name: str,
    device: str,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Segment images (case -> file) through the view of the member `view`, or by its single model.

    Returns:
        case -> label map in the member's labels.
    """
    folder = predictions_of(training, workplace, name)
    inputs = folder / "input"
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir(parents=True)
    for case, image in images.items():
        (inputs / f"{case}_0000.nii.gz").symlink_to(image.resolve())
    model = ("-tr", training.trainer, "-p", training.plans, "-c", CONFIGURATION, "-f", training.fold)
    workplace.run(
        f"{training.name}_{name}",
        "nnUNetv2_predict",
        *("-d", view, "-i", inputs, "-o", folder, *model, "-device", device, "-npp", 1, "-nps", 1),
        environment={**training.environment(workplace), **(environment or {})},
    )
    return {case: folder / f"{case}.nii.gz" for case in images}
