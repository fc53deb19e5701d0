"""An addition with stock commands: extend, preprocess, train, predict; and the base's members afterwards."""

import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.dice import dice_of_folder

pytestmark = pytest.mark.end_to_end

NUMBER, INTO = 305, 901
SHAPE, SPACING = (40, 36, 32), 3.0
TRAINER = "HermesTrainerAdditionShort"


def write_case(folder, part, name, generator):
    """Noise with a bright box and a dark one."""
    label = np.zeros(SHAPE, np.uint8)
    image = generator.normal(size=SHAPE).astype(np.float32) * 20
    for value, shift in ((1, 150), (2, -150)):
        low = generator.integers((4 + 16 * (value - 1), 4, 4), (8 + 16 * (value - 1), 20, 16))
        box = tuple(slice(corner, corner + 11) for corner in low)
        label[box] = value
        image[box] += shift
    affine = np.diag([SPACING] * 3 + [1])
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"images{part}" / f"{name}_0000.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), folder / f"labels{part}" / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def added(trained):
    """The trained workplace after an addition was trained; a data set of a modality that the base does not know."""
    folder = trained.raw / f"Dataset{NUMBER}_Boxes"
    for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / part).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(6):
        write_case(folder, "Tr" if number < 5 else "Ts", f"box_{number}", generator)
    content = {
        "channel_names": {"0": "US"},
        "labels": {"background": 0, "bright": 1, "dark": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    model = ("-tr", trained.trainer, "-p", trained.plans)
    printed = trained.run(
        "hermes_nnunet", "extend", trained.collection, f"{NUMBER}:US", "--into", INTO, *model, "--processes", 1
    )
    assert "it does not know US" in printed
    trained.run("nnUNetv2_preprocess", "-d", INTO, "-plans_name", trained.plans, "-c", "3d_fullres", "-np", 1)
    trained.run("nnUNetv2_train", INTO, "3d_fullres", 0, "-tr", TRAINER, "-p", trained.plans, "-device", "cpu")
    return trained


def test_new_member_is_segmented_by_its_view(added, tmp_path):
    folder = added.raw / added.dataset(NUMBER)
    segmented = added.predict(NUMBER, folder / "imagesTs", tmp_path / "out")
    assert list(segmented) == ["box_5.nii.gz"]
    content = json.loads((folder / "dataset.json").read_text())
    (dice,) = dice_of_folder(tmp_path / "out", folder / "labelsTs", content).values()
    assert min(dice.values()) > 0.7


def test_old_member_is_segmented_as_before(added, image_of, tmp_path):
    """In every voxel, through the base's universal model and through that with the addition."""
    number = next(iter(added.members))
    images = image_of(number)
    model = ("-m", added.collection, "-tr", added.trainer, "-p", added.plans, "--probabilities", "-device", "cpu")
    name = added.dataset(number).partition("_")[2]
    added.run("hermes_nnunet", "predict", "-i", images, "-o", tmp_path / "before", *model, "--member", name)
    grown = ("-m", INTO, *model[2:])
    added.run("hermes_nnunet", "predict", "-i", images, "-o", tmp_path / "after", *grown, "--member", name)
    (before,), (after,) = (sorted((tmp_path / part).glob("*.npz")) for part in ("before", "after"))
    one, other = (np.load(path) for path in (before, after))
    assert all(np.array_equal(one[key], other[key]) for key in one.files)


def test_nobody_need_name_the_modality(added, tmp_path):
    """The universal model with old and new tasks recognises it, with nnU-Net's command and with ours."""
    images = added.raw / added.dataset(NUMBER) / "imagesTs"
    segmented = added.predict(INTO, images, tmp_path / "stock")
    assert "box_5_0000.nii.gz: US (" in (tmp_path / "stock.log").read_text()
    model = ("-m", INTO, "-tr", added.trainer, "-p", added.plans, "-device", "cpu")
    printed = added.run("hermes_nnunet", "predict", "-i", images, "-o", tmp_path / "ours", *model, "--all")
    assert "1 case taken for US (box_5: US (" in printed
    (stock,) = (np.asarray(image.dataobj) for image in segmented.values())
    ours = np.asarray(nibabel.load(tmp_path / "ours" / "box_5.nii.gz").dataobj)
    assert np.array_equal(ours, stock)
    reference = np.asarray(nibabel.load(images.with_name("labelsTs") / "box_5.nii.gz").dataobj)
    assert 2 * ((ours > 0) & (reference > 0)).sum() / ((ours > 0).sum() + (reference > 0).sum()) > 0.7


def test_new_tasks_are_found_by_name(added, tmp_path):
    images = added.raw / added.dataset(NUMBER) / "imagesTs"
    added.run(
        "hermes_nnunet", "predict", "-i", images, "-o", tmp_path / "out", "-m", INTO, "-tr", added.trainer,
        "-p", added.plans, "--tasks", "bright", "-device", "cpu",
    )  # fmt: skip
    segmentation = np.asarray(nibabel.load(tmp_path / "out" / "box_5.nii.gz").dataobj)
    reference = np.asarray(nibabel.load(images.with_name("labelsTs") / "box_5.nii.gz").dataobj) == 1
    found = segmentation > 0
    assert 2 * (found & reference).sum() / (found.sum() + reference.sum()) > 0.7
