"""A generated collection, by default of four members; its plans for HermesUNet and for nnU-Net's plain network."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, Case, Collection, Member, Task
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.plans import HermesPlans

NAME = "Dataset900_Made"
MODALITIES = ("CT", "PET", "T1", "T2")
TASKS_OF_MEMBER = 2
# name, modality, number of tasks
FOUR_MEMBERS = tuple((f"Member{modality}", modality, TASKS_OF_MEMBER) for modality in MODALITIES)
SPACING_MM = 1.5
CONFIGURATION = "3d_fullres"
RESAMPLING = "resample_torch_fornnunet"
RESAMPLING_OPTIONS = {"force_separate_z": None, "memefficient_seg_resampling": False}


@contextmanager
def nnunet_folders() -> Iterator[Path]:
    """Empty nnUNet_preprocessed and nnUNet_results in a temporary folder; no data workers of their own."""
    before = dict(os.environ)
    with TemporaryDirectory(prefix="hermes-benchmark-") as name:
        folder = Path(name)
        for kind in ("raw", "preprocessed", "results"):
            (folder / kind).mkdir()
            os.environ[f"nnUNet_{kind}"] = str(folder / kind)
        os.environ["nnUNet_n_proc_DA"] = "0"
        try:
            yield folder
        finally:
            os.environ.clear()
            os.environ.update(before)


def make_collection(cases_of_member: int, of: Sequence[tuple[str, str, int]] = FOUR_MEMBERS) -> Collection:
    """Members with a name, a modality and a number of tasks of their own; task t has the label value t + 1."""
    members: dict[str, Member] = {}
    tasks: list[Task] = []
    cases: dict[str, Case] = {}
    for index, (name, modality, count) in enumerate(of):
        values = range(len(tasks) + 1, len(tasks) + count + 1)
        own = [Task(f"{name}/organ{number}", (value,), value) for number, value in enumerate(values)]
        members[name] = Member(
            name=name,
            dataset_name=f"Dataset{901 + index}_{name}",
            tasks=tuple(task.name for task in own),
            labels={"background": 0} | {f"organ{number}": number + 1 for number in range(count)},
            regions_class_order=None,
            channels={modality: None},
            channel_names={"0": modality},
            file_ending=".nii.gz",
            sampling_weight=1.0,
        )
        tasks += own
        cases |= {f"{name}__{number:03}": Case(name, modality, f"{number:03}") for number in range(cases_of_member)}
    modalities = dict.fromkeys(modality for _, modality, _ in of)
    return Collection(tuple(tasks), (*modalities, "unknown"), members, cases)


def dataset_json(collection: Collection) -> dict[str, Any]:
    """dataset.json of the collection; plain nnU-Net takes it for a data set with a label a task."""
    return {
        "channel_names": {"0": "image"},
        "labels": {"background": 0} | {task.name: task.values[0] for task in collection.tasks},
        "numTraining": len(collection.cases),
        "file_ending": ".nii.gz",
        HERMES_BLOCK: collection.to_block(),
    }


def hermes_plans(collection: Collection, patch: int, widths: Sequence[int], blocks: Sequence[int]) -> dict[str, Any]:
    """Plans of HermesUNet."""
    plans = plain_plans(NAME, patch, widths, blocks)
    configuration = plans["configurations"][CONFIGURATION]
    configuration["preprocessor_name"] = "HermesPreprocessor"
    architecture = configuration["architecture"]
    architecture["network_class_name"] = "hermes_nnunet.networks.hermes_unet.HermesUNet"
    plans_of_hermes = HermesPlans.of_collection(collection, default_intensity_clipping())
    architecture["arch_kwargs"] |= {
        "num_modalities": len(collection.modalities),
        "rows_per_case": plans_of_hermes.rows_per_case,
    }
    return plans | {
        "plans_name": "HermesPlans",
        "label_manager": "HermesLabelManager",
        HERMES_BLOCK: plans_of_hermes.to_block(),
    }


def plain_plans(dataset: str, patch: int, widths: Sequence[int], blocks: Sequence[int]) -> dict[str, Any]:
    """Plans of nnU-Net's residual encoder U-Net with the same patch, batch and widths."""
    stages = len(widths)
    configuration = {
        "data_identifier": "preprocessed",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [patch] * 3,
        "median_image_size_in_voxels": [patch] * 3,
        "spacing": [SPACING_MM] * 3,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": RESAMPLING,
        "resampling_fn_data_kwargs": {"is_seg": False, **RESAMPLING_OPTIONS},
        "resampling_fn_seg": RESAMPLING,
        "resampling_fn_seg_kwargs": {"is_seg": True, **RESAMPLING_OPTIONS},
        "resampling_fn_probabilities": RESAMPLING,
        "resampling_fn_probabilities_kwargs": {"is_seg": False, **RESAMPLING_OPTIONS},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": list(widths),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * stages,
                "strides": [[1, 1, 1], *([[2, 2, 2]] * (stages - 1))],
                "n_blocks_per_stage": list(blocks),
                "n_conv_per_stage_decoder": [1] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": dataset,
        "plans_name": "nnUNetResEncUNetPlans",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ResEncUNetPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }
