"""A base with random weights, and new members that additions are made for."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch

MODEL = "HermesTrainer__HermesPlans__3d_fullres"
SIZE = 20


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """nnU-Net's three folders in tmp_path."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    return tmp_path


@pytest.fixture
def base(folders, plans, dataset_json):
    """Folder of the base: abdomen (CT; liver, spleen) and brain (T1; whole, core), two folds of random weights."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.networks.build import build_network

    folder = folders / "results" / "Dataset900_Both" / MODEL
    manager = PlansManager(plans)
    for fold in (0, 1):
        torch.manual_seed(fold)
        network = build_network(manager, manager.get_configuration("3d_fullres"), 1, 4, True)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": "HermesTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": None,
            "optimizer_state": {},
        }
        (folder / f"fold_{fold}" / "validation").mkdir(parents=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_best.pth")
        (folder / f"fold_{fold}" / "training_log.txt").write_text("")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder


@pytest.fixture
def base_in_lps(base):
    """The base, as if its weights had been imported: it sees CT and what it does not know in LPS, T1 in RAS."""
    content = json.loads((base / "plans.json").read_text())
    content["hermes"] |= {"voxel_order": "LPS", "voxel_orders": {"abdomen": "LPS", "brain": "RAS"}}
    (base / "plans.json").write_text(json.dumps(content))
    return base


@pytest.fixture
def images(base):
    """A member of the base whose one image has no labels; its name."""
    content = json.loads((base / "dataset.json").read_text())
    hermes = content["hermes"]
    hermes["members"]["images"] = {
        **hermes["members"]["abdomen"],
        "name": "images",
        "dataset_name": "Dataset400_images",
        "tasks": [],
        "labels": {"background": 0},
    }
    hermes["cases"]["images__a"] = {"member": "images", "modality": "CT", "patient": "a", "annotated": []}
    (base / "dataset.json").write_text(json.dumps(content))
    return "images"


@pytest.fixture
def new_member(folders):
    """A function that writes a raw data set of noise with bright cubes: `number`, its labels, its channels.

    Values are `scale` times those of others.
    """

    def write(number=305, labels=("gallbladder",), channels=1, cases=4, scale=1):
        folder = folders / "raw" / f"Dataset{number}_New{number}"
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True)
        rng = np.random.default_rng(number)
        for case in range(cases):
            label = np.zeros((SIZE,) * 3, np.uint8)
            for value in range(1, len(labels) + 1):
                low = 2 + 5 * value
                label[low : low + 4, 5:13, 5:13] = value
            for channel in range(channels):
                image = scale * (rng.normal(size=label.shape) + 3 * label).astype(np.float32)
                nibabel.save(
                    nibabel.Nifti1Image(image, np.diag([1.5, 1.5, 1.5, 1])),
                    folder / "imagesTr" / f"c{case}_{channel:04d}.nii.gz",
                )
            nibabel.save(
                nibabel.Nifti1Image(label, np.diag([1.5, 1.5, 1.5, 1])), folder / "labelsTr" / f"c{case}.nii.gz"
            )
        content = {
            "channel_names": {str(channel): f"image{channel}" for channel in range(channels)},
            "labels": {"background": 0, **{name: value for value, name in enumerate(labels, start=1)}},
            "numTraining": cases,
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def extended(folders, base, monkeypatch):
    """A function that extends the base by a member of nnUNet_raw; the fingerprint, which nobody reads, stays empty."""
    from hermes_nnunet.data.merge import MergeSpecification, member_from_word
    from hermes_nnunet.weights.additions import extending

    class Fingerprint:
        def __init__(self, name, processes):
            self.file = folders / "preprocessed" / name / "dataset_fingerprint.json"

        def run(self, overwrite_existing):
            self.file.write_text("{}")

    monkeypatch.setattr(extending, "DatasetFingerprintExtractor", Fingerprint)

    def extend(word="305:T2", into=901, base=base, name=None, **options):
        member = member_from_word(word)
        if name is not None:
            member = replace(member, name=name)
        specification = MergeSpecification(name=f"More{into}", into=into, members=(member,))
        return extending.extend(base, specification, preprocessed=folders / "preprocessed", processes=1, **options)

    return extend


@pytest.fixture
def addition(extended, new_member):
    """A function that makes an addition with random content for the base: `word` as the command line has it."""
    from hermes_nnunet.core.files import read_json
    from hermes_nnunet.networks.build import build_network
    from hermes_nnunet.plans import HermesPlans
    from hermes_nnunet.weights.additions.base import rows_of_addition
    from hermes_nnunet.weights.additions.file import Addition
    from hermes_nnunet.weights.additions.trained import header_of_collection

    def make(word="305:T2", labels=("gallbladder",), into=901, **options):
        number = int(word.partition(":")[0])
        new_member(number, labels)
        result = extended(word, into, **options)
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        content = read_json(result.plans, "")
        plans = HermesPlans.from_plans(content)
        manager = PlansManager(content)
        torch.manual_seed(number)
        network = build_network(manager, manager.get_configuration("3d_fullres"), 1, len(labels), True)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        header = header_of_collection(content, result.merged.collection, result.base, trained_on={"cases": 4})
        return Addition(header, rows_of_addition(network.state_dict(), plans, 0))

    return make
