"""What is predicted for a member is what nnU-Net's own predictor gives with the member's view, voxel for voxel."""

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.views.write import write_views


def stock_predict(view, images, folder, folds):
    """nnUNetv2_predict without and with --save_probabilities, without processes of its own.

    With it nnU-Net decides by the rounded probabilities, so that a voxel may differ.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(view), folds)
    for name in ("stock", "stock_probabilities"):
        (folder / name).mkdir()
        predictor.predict_from_files_sequential(str(images), str(folder / name), name == "stock_probabilities")


def predict(model, images, output, *options):
    assert main(["predict", "-i", str(images), "-o", str(output), "-m", str(model), "-device", "cpu", *options]) == 0


def voxels(path):
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.parametrize(("member", "folds"), [("abdomen", (0, 1)), ("brain", (0,))])
def test_label_maps_and_probabilities_of_a_member(member, folds, model, results, images, tmp_path):
    write_views(model, results, [0, 1])
    (view,) = results.glob(f"*_{member}/{model.name}")
    ending = ".nii" if member == "brain" else ".nii.gz"
    if member == "brain":
        for path in list(images.iterdir()):
            image = nibabel.load(path)
            for channel in (0, 1):
                scaled = nibabel.Nifti1Image((channel + 1) * image.get_fdata(dtype=np.float32), image.affine)
                nibabel.save(scaled, images / path.name.replace("_0000.nii.gz", f"_{channel:04d}.nii"))
            path.unlink()
    stock_predict(view, images, tmp_path, folds)
    chosen = [] if len(folds) == 2 else ["-f", *map(str, folds)]
    predict(model, images, tmp_path / "ours", "--member", member, "--probabilities", *chosen)
    predict(view, images, tmp_path / "of_view", "--probabilities", *chosen)
    for case in ("a", "b"):
        expected = nibabel.load(tmp_path / "stock" / f"{case}{ending}")
        for ours in ("ours", "of_view"):
            (path,) = (tmp_path / ours).glob(f"{case}.nii*")
            assert len(np.unique(voxels(path))) > 1
            np.testing.assert_array_equal(voxels(path), np.asarray(expected.dataobj))
            np.testing.assert_allclose(nibabel.load(path).affine, expected.affine)
            probabilities = np.load(tmp_path / ours / f"{case}.npz")["probabilities"]
            stock = np.load(tmp_path / "stock_probabilities" / f"{case}.npz")["probabilities"]
            # Torch's sigmoid differs in the last bit between the end and the middle of an array.
            np.testing.assert_allclose(probabilities, stock, rtol=0, atol=1e-6)
