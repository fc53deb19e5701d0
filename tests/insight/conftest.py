"""A trained and validated model of `collection` with small images, without any training."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from hermes_nnunet.learning.training.learning_curves import FILE_NAME, LearningCurves

SHAPE = (12, 10, 8)
DICE = {
    "abdomen__a": {"1": 0.5, "2": 0.25},
    "abdomen__c": {"1": 1.0, "2": float("nan")},
    "brain__y": {"(3, 4)": 0.125, "4": 0.625},
}


def write_image(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.5, 1.5, 3, 1])), path)


def label_map(values: tuple[int, int]) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:5, 2:5, 2:5], label[7:10, 5:8, 2:5] = values
    return label


@pytest.fixture
def raw(tmp_path, dataset_json, collection) -> Path:
    """nnUNet_raw with the images and label files of the collection."""
    folder = tmp_path / "raw" / "Dataset900_Both"
    rng = np.random.default_rng(0)
    dataset_json["dataset"] = {}
    for case, entry in collection.cases.items():
        image = folder.parent / f"Dataset_{entry.member}" / "imagesTr" / f"{case}_0000.nii.gz"
        write_image(image, rng.normal(size=SHAPE).astype(np.float32))
        write_image(folder / "labelsTr" / f"{case}.nii.gz", label_map((1, 2) if entry.member == "abdomen" else (3, 4)))
        files = {"images": [f"../{image.relative_to(folder.parent)}"], "label": f"labelsTr/{case}.nii.gz"}
        dataset_json["dataset"][case] = files
    return tmp_path / "raw"


@pytest.fixture
def model(tmp_path, raw, plans, dataset_json) -> Path:
    """Folder of the model: fold 0, two epochs with learning curves, three validated cases."""
    folder = tmp_path / "results" / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres"
    fold = folder / "fold_0"
    fold.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    write_checkpoint(fold / "checkpoint_final.pth")
    curves = LearningCurves()
    sums = np.array([[4, 2, 4, 3], [4, 1, 0, 0]])
    for epoch in range(2):
        dice = {"abdomen/liver": 0.5, "abdomen/spleen": 0.25, "brain/whole": float("nan"), "brain/core": 0.75}
        curves.add(epoch, 2e-3, 0.9, 0.8, dice, sums, ["abdomen", "brain"])
    curves.write(fold / FILE_NAME)
    write_validation(fold / "validation", DICE)
    return folder


def write_checkpoint(path: Path) -> None:
    """As nnU-Net's logging leaves it: numpy's numbers among Python's."""
    logging = {
        "lrs": [2e-3, 1e-3],
        "train_losses": [np.float32(0.75), np.float32(0.5)],
        "val_losses": [np.float64(0.625), np.float64(0.25)],
        "dice_per_class_or_region": [[np.float64(value) for value in (0.1, 0.2, np.nan, 0.4)]] * 2,
    }
    torch.save({"network_weights": {}, "logging": logging}, path)


def write_validation(folder: Path, dice: dict[str, dict[str, float]]) -> None:
    for case in dice:
        write_image(folder / f"{case}.nii.gz", label_map((1, 2) if case.startswith("abdomen") else (3, 4)))
    entries = [
        {
            "prediction_file": f"/elsewhere/{case}.nii.gz",
            "metrics": {key: {"Dice": values.get(key, float("nan"))} for key in ("1", "2", "(3, 4)", "4")},
        }
        for case, values in dice.items()
    ]
    (folder / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
