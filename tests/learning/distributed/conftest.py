"""Three members, trained by two processes and by one.

They have different numbers of tasks; one is of unknown modality; tasks of abdomen and chest exclude each other, and no
image of the brain shows the heart.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_nnunet.collection import Case, Collection, Member, Task

SCRIPT = Path(__file__).parent / "train_a_part.py"
PROCESSES = 2
TIMEOUT_S = 300
TASKS = {"abdomen": ("liver", "spleen", "kidney"), "brain": ("tumour",), "chest": ("lung", "heart")}
MODALITIES = {"abdomen": "CT", "brain": "T1", "chest": "unknown"}


def three_members() -> Collection:
    """Members of three, one and two tasks."""
    organs = {member: [f"{member}/{label}" for label in TASKS[member]] for member in ("abdomen", "chest")}
    tasks = [f"{member}/{label}" for member, labels in TASKS.items() for label in labels]
    members = {
        name: Member(
            name=name,
            dataset_name=f"Dataset{number:03d}_{name}",
            tasks=tuple(f"{name}/{label}" for label in labels),
            labels={"background": 0} | {label: value for value, label in enumerate(labels, start=1)},
            regions_class_order=None,
            channels={MODALITIES[name]: None},
            channel_names={"0": MODALITIES[name]},
            file_ending=".nii.gz",
            sampling_weight=1.0,
        )
        for number, (name, labels) in enumerate(TASKS.items(), start=1)
    }
    return Collection(
        tasks=tuple(Task(name, (value,), value) for value, name in enumerate(tasks, start=1)),
        modalities=("CT", "T1", "unknown"),
        members=members,
        cases={f"{name}__{patient}": Case(name, MODALITIES[name], patient) for name in members for patient in "ab"},
        excludes={
            **{task: tuple(organs["chest"]) for task in organs["abdomen"]},
            **{task: tuple(organs["abdomen"]) for task in organs["chest"]},
        },
        absent={"brain": ("chest/heart",)},
    )


def dataset_json_of(collection: Collection) -> dict[str, Any]:
    """Its dataset.json, with an ignore label."""
    labels = {"background": 0} | {task.name: task.written_value for task in collection.tasks}
    return {
        "channel_names": {"0": "image"},
        "labels": {**labels, "ignore": len(labels)},
        "numTraining": len(collection.cases),
        "file_ending": ".nii.gz",
        "hermes": collection.to_block(),
    }


def plans_of(collection: Collection) -> dict[str, Any]:
    """Its plans: four stages, so that there is deep supervision, and a batch of three."""
    from hermes_nnunet.plans import HermesPlans

    architecture = {
        "network_class_name": "hermes_nnunet.networks.hermes_unet.HermesUNet",
        "arch_kwargs": {
            "n_stages": 4,
            "features_per_stage": [4, 8, 8, 16],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * 4,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * 3,
            "n_blocks_per_stage": [1] * 4,
            "n_conv_per_stage_decoder": [1] * 3,
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "num_modalities": len(collection.modalities),
            "tokens_per_modality": 4,
        },
        "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "HermesPlans_3d_fullres",
        "batch_size": 3,
        "patch_size": [16, 16, 16],
        "spacing": [1.5, 1.5, 1.5],
        "architecture": architecture,
    }
    return {
        "dataset_name": "Dataset900_Three",
        "plans_name": "HermesPlans",
        "configurations": {"3d_fullres": configuration},
        "label_manager": "HermesLabelManager",
        "hermes": HermesPlans.of_collection(collection, {}).to_block(),
    }


@pytest.fixture(scope="session")
def nnunet_folders(tmp_path_factory) -> Path:
    """nnU-Net's folders of a collection that is planned, with images that nobody opens."""
    root = tmp_path_factory.mktemp("three_members")
    folder = root / "preprocessed/Dataset900_Three"
    images = folder / "HermesPlans_3d_fullres"
    images.mkdir(parents=True)
    (root / "results").mkdir()
    collection = three_members()
    for case in collection.cases:
        (images / f"{case}.b2nd").touch()
    cases = list(collection.cases)
    (folder / "splits_final.json").write_text(json.dumps([{"train": cases[::2], "val": cases[1::2]}]))
    (folder / "dataset.json").write_text(json.dumps(dataset_json_of(collection)))
    (folder / "HermesPlans.json").write_text(json.dumps(plans_of(collection)))
    return root


@pytest.fixture(scope="session")
def trained_apart(nnunet_folders) -> list[dict[str, Any]]:
    """What each of two processes reports that trained together, each on its part of the batches."""
    import torch

    environment = {
        **os.environ,
        "nnUNet_preprocessed": str(nnunet_folders / "preprocessed"),
        "nnUNet_results": str(nnunet_folders / "results"),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    reports = [nnunet_folders / f"report_{rank}.pt" for rank in range(PROCESSES)]
    meeting = nnunet_folders / "meeting"
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, report, meeting, str(rank), str(PROCESSES)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, report in enumerate(reports)
    ]
    try:
        printed = [process.communicate(timeout=TIMEOUT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-6000:]
    return [torch.load(report) for report in reports]


@pytest.fixture
def new_trainer(nnunet_folders, monkeypatch) -> Callable[..., Any]:
    """A function that makes a trainer of the collection in this process."""
    for name in ("preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(nnunet_folders / name))
    return runpy.run_path(str(SCRIPT))["new_trainer"]


@pytest.fixture(scope="session")
def trained_whole(nnunet_folders) -> dict[str, Any]:
    """What one process reports that trained on the whole batches."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", str(nnunet_folders / name))
        return runpy.run_path(str(SCRIPT))["report"]()
