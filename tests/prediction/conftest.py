"""A universal model with random weights, its views, and images that it segments in a moment."""

import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.model_folder import find_model_folder, read_model_folder

NAME = "HermesTrainer__HermesPlans__3d_fullres"
# Voxels of 2 mm, first axis to the left, second to the back, and turned by 20 degrees around the third.
OBLIQUE_LPI = np.array(
    [[-1.879, -0.684, 0.0, 30.0], [0.684, -1.879, 0.0, -20.0], [0.0, 0.0, -2.5, 12.0], [0.0, 0.0, 0.0, 1.0]]
)


def make_model(results, plans, dataset_json, seeds=(0, 1), dataset="Dataset900_Both"):
    """Write a model folder with a fold for each seed of its random weights; returns it."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.networks.build import build_network

    plans["configurations"]["3d_fullres"]["spacing"] = [2.5, 2.5, 2.5]  # few patches
    folder = results / dataset / NAME
    manager = PlansManager(plans)
    outputs = manager.get_label_manager(dataset_json).num_segmentation_heads
    for fold, seed in enumerate(seeds):
        torch.manual_seed(seed)
        network = build_network(manager, manager.get_configuration("3d_fullres"), 1, outputs, True)
        make_context_matter(network)
        (folder / f"fold_{fold}").mkdir(parents=True)
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": "HermesTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)]},
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder


def make_context_matter(network):
    """Random weights also where an untrained network has none: fusion, the part of the tokens; alike biases below 0."""
    import torch

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("classifiers.bias"):
                parameter.fill_(-0.1)
            else:
                parameter += 0.1 * torch.randn_like(parameter)


def make_image(path, shape=(18, 20, 22), affine=None, seed=0):
    """Write an image of smooth noise around a bright block; returns the path."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(size=shape).cumsum(0).astype(np.float32) * 20
    voxels[4:12, 5:12, 6:14] += 200
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine), path)
    return path


@pytest.fixture
def results(tmp_path, monkeypatch):
    """nnUNet_results."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setenv("nnUNet_results", str(folder))
    return folder


@pytest.fixture
def model(results, plans, dataset_json):
    """The folder of a universal model of two folds.

    Its members: abdomen (CT; liver, spleen) and brain (T1, its channel 1; whole, and core within it).
    """
    return make_model(results, plans, dataset_json)


@pytest.fixture
def read_model(model):
    """The same, read."""
    return read_model_folder(find_model_folder(model))


@pytest.fixture
def images(tmp_path):
    """A folder with two images of one channel; the second is oblique and LPI."""
    folder = tmp_path / "images"
    folder.mkdir()
    make_image(folder / "a_0000.nii.gz", seed=1)
    make_image(folder / "b_0000.nii.gz", shape=(15, 21, 12), affine=OBLIQUE_LPI, seed=2)
    return folder


@pytest.fixture
def predict(model, images, tmp_path):
    """A function that runs `hermes_nnunet predict` on the CPU and returns its exit code."""

    def run(*options, source=images, output=tmp_path / "out", asked=model):
        return main(["predict", "-i", str(source), "-o", str(output), "-m", str(asked), "--device", "cpu", *options])

    return run


@pytest.fixture
def out(tmp_path):
    """Where `predict` writes."""
    return tmp_path / "out"


@pytest.fixture
def stock_predict():
    """A function that predicts with nnU-Net's own predictor, without processes of its own: view, images, output."""

    def run(view, images, output, folds=(0,), probabilities=False):
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(view), folds)
        output.mkdir()
        predictor.predict_from_files_sequential(str(images), str(output), probabilities)

    return run
