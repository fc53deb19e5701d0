"""A preprocessed collection of noise with bright cubes, small enough to be trained on in a unit test."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

SIZE = 20


def _write(path: Path, array: np.ndarray) -> str:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1.5, 1.5, 1.5, 1])), path)
    return str(path)


@pytest.fixture
def preprocessed(tmp_path, monkeypatch, collection, dataset_json, plans):
    """nnUNet_preprocessed with Dataset900_Both; returns the folder of the data set. Results go to tmp_path/results."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    folder = tmp_path / "preprocessed" / "Dataset900_Both"
    data = folder / plans["configurations"]["3d_fullres"]["data_identifier"]
    references = folder / "gt_segmentations"
    for made in (data, references):
        made.mkdir(parents=True)
    manager = PlansManager(plans)
    rng = np.random.default_rng(0)
    values = {"abdomen": (1, 2), "brain": (3, 4)}
    for case, entry in collection.cases.items():
        image = rng.normal(size=(SIZE,) * 3).astype(np.float32)
        label = np.zeros(image.shape, np.uint8)
        label[4:10, 4:10, 4:10], label[11:16, 11:16, 11:16] = values[entry.member]
        image += 3 * label
        HermesPreprocessor(verbose=False).run_case_save(
            str(data / case),
            [_write(tmp_path / "image.nii.gz", image)],
            _write(references / f"{case}.nii.gz", label),
            manager,
            manager.get_configuration("3d_fullres"),
            dataset_json,
        )
    split = {"train": ["abdomen__a", "abdomen__b", "brain__x"], "val": ["abdomen__c", "brain__y"]}
    contents = {
        f"{plans['plans_name']}.json": plans,
        "dataset.json": dataset_json,
        "splits_final.json": [split, {"train": split["val"], "val": split["train"]}],
        "dataset_fingerprint.json": {},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def make_trainer(preprocessed, plans, dataset_json):
    """A function that makes a HermesTrainer (or `trainer_class`) with few iterations, as nnU-Net's command would."""
    import torch
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

    def make(fold=0, continue_training=False, epochs=2, trainer_class=HermesTrainer):
        trainer = trainer_class(
            {**json.loads(json.dumps(plans)), "continue_training": continue_training},
            "3d_fullres",
            fold,
            dataset_json,
            torch.device("cpu"),
        )
        trainer.num_epochs = epochs
        trainer.num_iterations_per_epoch = 2
        trainer.num_val_iterations_per_epoch = 2
        return trainer

    return make
