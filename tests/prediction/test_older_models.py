"""A model folder and a view that an earlier release wrote predict the voxels that they did then."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.collection import Collection
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.views.write import write_views

LABELS = {"abdomen": {"liver": 1, "spleen": 2}, "brain": {"whole": [1, 2], "core": 2}}


@pytest.fixture(autouse=True)
def trainers(older_files, monkeypatch):
    monkeypatch.setenv("nnUNet_extTrainer", str(older_files / "trainers"))


@pytest.fixture
def view(older_files, tmp_path):
    """The view of brain, as it lies in nnUNet_results."""
    folder = tmp_path / "results/Dataset012_brain/HermesTrainerTiny__HermesSPlans__3d_fullres"
    shutil.copytree(older_files / "view", folder)
    (folder / "fold_0").mkdir()
    (folder / "fold_0" / "checkpoint_final.pth").symlink_to(older_files / "model/fold_0/checkpoint_final.pth")
    return folder


def image_of(older_files, member):
    return older_files / "images" / f"{member}_0000.nii.gz"


def assert_same(voxels, affine, older_files, name):
    expected = nibabel.load(older_files / "segmentations" / f"{name}.nii.gz")
    assert np.unique(expected.dataobj).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(voxels, np.asarray(expected.dataobj))
    np.testing.assert_allclose(affine, expected.affine)


@pytest.mark.parametrize("member", LABELS)
def test_the_python_face(older_files, member):
    model = HermesModel.load(older_files / "model", device="cpu")
    assert list(model.members) == ["abdomen", "brain"]
    segmentation = model.predict(image_of(older_files, member), members=[member])
    assert_same(segmentation.array, segmentation.affine, older_files, member)


@pytest.mark.parametrize("member", LABELS)
def test_the_command(older_files, member, tmp_path):
    out = tmp_path / "out"
    model = ["-m", str(older_files / "model"), "--member", member, "-device", "cpu"]
    assert main(["predict", "-i", str(image_of(older_files, member)), "-o", str(out), *model]) == 0
    written = nibabel.load(out / f"{member}.nii.gz")
    assert_same(np.asarray(written.dataobj), written.affine, older_files, member)


def test_a_view_with_nnunets_own_predictor(older_files, view, tmp_path):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    images, out = tmp_path / "images", tmp_path / "out"
    for folder in (images, out):
        folder.mkdir()
    shutil.copy(image_of(older_files, "brain"), images)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(view), (0,))
    predictor.predict_from_files_sequential(str(images), str(out))
    written = nibabel.load(out / "brain.nii.gz")
    assert_same(np.asarray(written.dataobj), written.affine, older_files, "brain_of_view")


def test_a_view_that_is_made_today_keeps_the_codes_of_an_image(older_files, view, tmp_path):
    """The model's plans name nnU-Net's reader, which writes other codes."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    model = tmp_path / "results/Dataset900_Both" / view.name
    shutil.copytree(older_files / "model", model)
    shutil.rmtree(view)
    write_views(model, tmp_path / "results", [0])
    images, out = tmp_path / "images", tmp_path / "out"
    for folder in (images, out):
        folder.mkdir()
    image = nibabel.load(image_of(older_files, "brain"))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 1)
    nibabel.save(image, images / "brain_0000.nii.gz")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(view), (0,))
    predictor.predict_from_files_sequential(str(images), str(out))
    written = nibabel.load(out / "brain.nii.gz")
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 1)
    assert_same(np.asarray(written.dataobj), written.affine, older_files, "brain_of_view")


def test_collection_and_plans(older_files):
    dataset_json = json.loads((older_files / "collection/dataset.json").read_text())
    plans = json.loads((older_files / "collection/HermesSPlans.json").read_text())
    collection = Collection.from_dataset_json(dataset_json, plans["dataset_name"])
    assert HermesPlans.from_plans(plans).tasks == collection.task_names
    assert collection.task_names == ("abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core")
    assert {name: member.labels for name, member in collection.members.items()} == {
        name: {"background": 0, **labels} for name, labels in LABELS.items()
    }
    assert collection.context_of("brain__y").modality == "T1"
