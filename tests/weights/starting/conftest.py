"""Checkpoints of plain U-Nets, and the preprocessed collection of the common conftest without its data."""

import json

import numpy as np
import pytest
import torch

from tests.weights.additions.conftest import base, extended, folders, new_member  # noqa: F401

ENCODERS = {"residual": ("ResidualEncoderUNet", "n_blocks_per_stage"), "plain": ("PlainConvUNet", "n_conv_per_stage")}


@pytest.fixture
def plain(plans, tmp_path):
    """A function that writes a checkpoint of plain nnU-Net with the network of `plans`; returns network and file."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    def make(encoder="residual", channels=1, transpose=(0, 1, 2), name="checkpoint_final.pth", **changes):
        class_name, blocks = ENCODERS[encoder]
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
        torch.save(checkpoint, tmp_path / name)
        return network, tmp_path / name

    return make


@pytest.fixture
def preprocessed(tmp_path, plans, dataset_json):
    """A function that writes the plans and dataset.json of the collection; returns their folder."""

    def write():
        folder = tmp_path / "preprocessed" / "Dataset900_Both"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "HermesPlans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset_json))
        return folder

    return write
