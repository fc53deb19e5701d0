"""The smallest data sets, collection, model and images that the commands work on, in nnU-Net's folders."""

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
from small_models import small_collection, small_dataset_json, small_plans

TRAINER = "HermesTrainerCampaign"
PLANS = "HermesPlans"
ADDITION_TRAINER = f"{TRAINER}Addition"
CONFIGURATION = "3d_fullres"
COLLECTION = "Dataset900_Both"
MODEL = f"{COLLECTION}/{TRAINER}__{PLANS}__{CONFIGURATION}"
_TRAINER_SOURCE = f"""
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_addition import HermesTrainerAddition


class {TRAINER}(HermesTrainer):
    epochs = 2
    iterations_per_epoch = 1
    validation_iterations_per_epoch = 1


class {ADDITION_TRAINER}(HermesTrainerAddition):
    epochs = 2
    iterations_per_epoch = 1
    validation_iterations_per_epoch = 1
"""


class World:
    """nnU-Net's three folders, which the environment names from here on, and folders for images and results."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trainers = root.with_name("trainers")
        # Where the system's would be, which commands may use.
        self.temporary = root.with_name("temporary")
        self._kept = root.with_name(f"{root.name}.kept")
        for name in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{name}"] = str(root / name)
        os.environ |= {
            "nnUNet_extTrainer": str(self.trainers),
            "nnUNet_n_proc_DA": "0",
            "nnUNet_def_n_proc": "1",
            "nnUNet_compile": "f",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
        }
        tempfile.tempdir = None  # it remembers
        self.trainers.mkdir(parents=True, exist_ok=True)
        self.temporary.mkdir(exist_ok=True)
        (self.trainers / "campaign.py").write_text(_TRAINER_SOURCE)

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def model(self) -> Path:
        return self.results / MODEL

    def clear(self) -> None:
        """Nothing but empty folders."""
        _empty(self.root)
        for name in ("raw", "preprocessed", "results"):
            (self.root / name).mkdir()

    def keep(self) -> None:
        """Let `restore` bring back the files that are there now."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.root, self._kept, symlinks=True)

    def restore(self) -> None:
        _empty(self.root)
        shutil.copytree(self._kept, self.root, symlinks=True, dirs_exist_ok=True)

    def add_member(self, dataset: str, labels: dict[str, int], cases: str = "abc") -> Path:
        """A data set in nnU-Net's raw format, with a case a letter."""
        folder = self.raw / dataset
        content = {
            "channel_names": {"0": "x"},
            "labels": {"background": 0, **labels},
            "numTraining": len(cases),
            "file_ending": ".nii.gz",
        }
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "dataset.json").write_text(json.dumps(content))
        for case in cases:
            shape = (6, 5, 4)
            write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", noise(f"{dataset}{case}", shape))
            write_image(
                folder / "labelsTr" / f"{case}.nii.gz", np.resize([0, *labels.values()], shape).astype(np.uint8)
            )
        return folder

    def add_collection(self) -> None:
        """The small collection, ready to be preprocessed: raw, and planned."""
        collection = small_collection()
        dataset_json = small_dataset_json(collection)
        dataset_json["dataset"] = {
            case: {"images": [f"images/{case}_0000.nii.gz"], "label": f"labels/{case}.nii.gz"}
            for case in collection.cases
        }
        for case, entry in collection.cases.items():
            low, high = (1, 2) if entry.member == "abdomen" else (3, 4)
            label = np.zeros((20, 20, 20), np.uint8)
            label[4:10, 4:10, 4:10], label[11:16, 11:16, 11:16] = low, high
            image = noise(case, label.shape).astype(np.float32) / 100 + 30 * label
            write_image(self.raw / COLLECTION / "images" / f"{case}_0000.nii.gz", image)
            write_image(self.raw / COLLECTION / "labels" / f"{case}.nii.gz", label)
            write_image(self.preprocessed / COLLECTION / "gt_segmentations" / f"{case}.nii.gz", label)
        split = {"train": ["abdomen__a", "abdomen__b", "brain__x"], "val": ["abdomen__c", "brain__y"]}
        files = {
            self.raw / COLLECTION / "dataset.json": dataset_json,
            self.preprocessed / COLLECTION / "dataset.json": dataset_json,
            self.preprocessed / COLLECTION / f"{PLANS}.json": small_plans(collection),
            self.preprocessed / COLLECTION / "splits_final.json": [
                split,
                {"train": split["val"], "val": split["train"]},
            ],
            self.preprocessed / COLLECTION / "dataset_fingerprint.json": {},
        }
        for path, content in files.items():
            path.write_text(json.dumps(content))

    def add_model(self, dataset: str = COLLECTION, seed: int = 0) -> Path:
        """A universal model with random weights; returns its folder."""
        import torch
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        from hermes_nnunet.networks.build import build_network

        collection = small_collection()
        plans, dataset_json = small_plans(collection), small_dataset_json(collection)
        plans["configurations"][CONFIGURATION]["spacing"] = [2.5, 2.5, 2.5]
        torch.manual_seed(seed)
        manager = PlansManager(plans)
        heads = manager.get_label_manager(dataset_json).num_segmentation_heads
        network = build_network(manager, manager.get_configuration(CONFIGURATION), 1, heads, True)
        folder = self.results / dataset / MODEL.partition("/")[2]
        (folder / "fold_0").mkdir(parents=True, exist_ok=True)
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": TRAINER,
            "init_args": {"configuration": CONFIGURATION},
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
        for name, content in (("plans", plans), ("dataset", dataset_json), ("dataset_fingerprint", {})):
            (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    def add_images(self, cases: str = "ab") -> Path:
        """Images to predict; returns their folder."""
        for case in cases:
            image = noise(case, (14, 15, 12)).astype(np.float32)
            image[4:10, 4:10, 4:10] += 2000
            write_image(self.root / "in" / f"{case}_0000.nii.gz", image)
        return self.root / "in"


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels of int16, the same for the same name."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(-1000, 1000, shape).astype(np.int16)


def write_image(path: Path, voxels: np.ndarray) -> None:
    """A NIfTI file with voxels of 2 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), path)


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)
