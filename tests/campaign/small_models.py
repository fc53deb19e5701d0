"""A small collection, its plans, and a released checkpoint of small networks, for tests and campaign."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hermes_nnunet.collection import Case, Collection, Member, Task

if TYPE_CHECKING:
    import torch

_ENCODERS = {"residual": ("ResidualEncoderUNet", "n_blocks_per_stage"), "plain": ("PlainConvUNet", "n_conv_per_stage")}
# Members for a checkpoint of 6 rows of tasks: 5 of them, one task shared.
MEMBERS_FILE = """
format_version: 1
rows_per_case: 4
members:
  abdomen: {modality: CT, labels: [liver, spleen, aorta]}
  abdomen_mr: {dataset: AbdomenMR, modality: T1, tasks_of: abdomen, labels: [aorta, liver]}
  heart: {modality: unknown, labels: [left, right]}
modalities: [CT, T1, unknown]
"""


def small_collection() -> Collection:
    """abdomen (CT, two organs, 3 cases) and brain (T1, whole tumour and its core as regions, 2 cases)."""
    abdomen = Member(
        name="abdomen",
        dataset_name="Dataset011_abdomen",
        tasks=("abdomen/liver", "abdomen/spleen"),
        labels={"background": 0, "liver": 2, "spleen": 1},
        regions_class_order=None,
        channels={"CT": None},
        channel_names={"0": "CT"},
        file_ending=".nii.gz",
        sampling_weight=3.0,
    )
    brain = Member(
        name="brain",
        dataset_name="Dataset012_brain",
        tasks=("brain/whole", "brain/core"),
        labels={"background": 0, "whole": [1, 2], "core": 2},
        regions_class_order=(1, 2),
        channels={"T1": 1},
        channel_names={"0": "FLAIR", "1": "T1"},
        file_ending=".nii",
        sampling_weight=1.0,
    )
    return Collection(
        tasks=(
            Task("abdomen/liver", (1,), 1),
            Task("abdomen/spleen", (2,), 2),
            Task("brain/whole", (3, 4), 3),
            Task("brain/core", (4,), 4),
        ),
        modalities=("CT", "T1", "unknown"),
        members={"abdomen": abdomen, "brain": brain},
        cases={
            "abdomen__a": Case("abdomen", "CT", "a"),
            "abdomen__b": Case("abdomen", "CT", "b"),
            "abdomen__c": Case("abdomen", "CT", "c"),
            "brain__x": Case("brain", "T1", "x"),
            "brain__y": Case("brain", "T1", "y"),
        },
    )


def small_dataset_json(collection: Collection) -> dict:
    """dataset.json of `small_collection`."""
    return {
        "channel_names": {"0": "image"},
        "labels": {
            "background": 0,
            "abdomen/liver": 1,
            "abdomen/spleen": 2,
            "brain/whole": [3, 4],
            "brain/core": 4,
        },
        "regions_class_order": [1, 2, 3, 4],
        "numTraining": 5,
        "file_ending": ".nii.gz",
        "hermes": collection.to_block(),
    }


def small_plans(collection: Collection) -> dict:
    """Plans of `small_collection` with a network that is small enough for a unit test."""
    from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
    from hermes_nnunet.planning.resampling.options import (
        IMAGE_FUNCTION,
        IMAGE_OPTIONS,
        LOGITS_FUNCTION,
        LOGITS_OPTIONS,
        SEGMENTATION_OPTIONS,
    )
    from hermes_nnunet.plans import HermesPlans

    configuration = {
        "data_identifier": "HermesPlans_3d_fullres",
        "preprocessor_name": "HermesPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16, 16],
        "median_image_size_in_voxels": [16, 16, 16],
        "spacing": [1.5, 1.5, 1.5],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": IMAGE_FUNCTION,
        "resampling_fn_data_kwargs": IMAGE_OPTIONS,
        "resampling_fn_seg": IMAGE_FUNCTION,
        "resampling_fn_seg_kwargs": SEGMENTATION_OPTIONS,
        "resampling_fn_probabilities": LOGITS_FUNCTION,
        "resampling_fn_probabilities_kwargs": LOGITS_OPTIONS,
        "architecture": {
            "network_class_name": "hermes_nnunet.networks.hermes_unet.HermesUNet",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 8, 16],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * 3,
                "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                "n_blocks_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
                "num_modalities": 3,
                "rows_per_case": 2,
                "tokens_per_modality": 4,
                "encoder_type": "residual",
                "modality_norms": True,
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset900_Both",
        "plans_name": "HermesPlans",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "HermesPlanner",
        "label_manager": "HermesLabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "hermes": HermesPlans.of_collection(collection, default_intensity_clipping()).to_block(),
    }


def write_plain_checkpoint(
    plans: dict[str, Any],
    path: Path,
    encoder: str = "residual",
    channels: int = 1,
    transpose: tuple[int, ...] = (0, 1, 2),
    **changes: Any,
) -> "torch.nn.Module":
    """A checkpoint of plain nnU-Net with the network of plans at `path`; returns the network.

    Args:
        encoder: residual or plain.
        channels: of an image.
        changes: of the network's arguments.
    """
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    class_name, blocks = _ENCODERS[encoder]
    given = plans["configurations"]["3d_fullres"]
    arguments = dict(given["architecture"]["arch_kwargs"])
    for key in ("num_modalities", "rows_per_case", "tokens_per_modality", "encoder_type", "modality_norms"):
        arguments.pop(key, None)
    arguments[blocks] = arguments.pop("n_blocks_per_stage")
    arguments |= changes
    architecture = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{class_name}",
        "arch_kwargs": arguments,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {**given, "architecture": architecture, "preprocessor_name": "DefaultPreprocessor"}
    if arguments["conv_op"].endswith("2d"):
        configuration["patch_size"] = configuration["patch_size"][1:]
    own_plans = {
        "dataset_name": "Dataset001_Plain",
        "plans_name": "nnUNetPlans",
        "transpose_forward": list(transpose),
        "transpose_backward": np.argsort(transpose).tolist(),
        "configurations": {"3d_fullres": configuration},
    }
    torch.manual_seed(1)
    network = get_network_from_plans(
        architecture["network_class_name"], arguments, architecture["_kw_requires_import"], channels, 3, True, False
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "logging": {"ema_fg_dice": [np.float64(0.5)], "lrs": [np.float32(0.1)]},
        "init_args": {"plans": own_plans, "configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
    }
    torch.save(checkpoint, path)
    return network


def write_released(topology: str, path: Path, *, task_rows: int, num_modalities: int) -> Path:
    """Hermes-R ("r") or Hermes-M ("m") at `path`; the averaged weights are the weights plus one."""
    import torch

    from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
    from hermes_nnunet.networks.hermes_resunet import HermesResUNet
    from hermes_nnunet.weights.released_names import our_name

    torch.manual_seed(0)
    network_class, sizes = {
        "r": (HermesResUNet, {}),
        "m": (
            HermesMedFormer,
            {
                "widths": (8, 16, 32, 40, 32, 16, 8, 4),
                "attention_blocks": (1, 2, 2, 2, 1),
                "num_codes": 8,
                "head_width": 8,
                "fusion_width": 40,
            },
        ),
    }[topology]
    state = network_class(1, task_rows, base_width=4, num_modalities=num_modalities, **sizes).state_dict()
    names = (Path(__file__).parents[1] / "weights" / f"released_names_{topology}.txt").read_text().split()
    weights = {name: state[our_name(name, network_class)] for name in names}
    averaged = {name: tensor + 1 for name, tensor in weights.items()}
    content = {"epoch": 1, "model_state_dict": weights, "ema_model_state_dict": averaged, "optimizer_state_dict": {}}
    torch.save(content, path)
    return path
