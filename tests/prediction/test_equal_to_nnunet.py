"""What is predicted for a member is what nnU-Net's own predictor gives with the member's view, voxel for voxel."""

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.views.write import write_views


def predict(model, images, output, *options):
    assert main(["predict", "-i", str(images), "-o", str(output), "-m", str(model), "-device", "cpu", *options]) == 0


def voxels(path):
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.parametrize(("member", "folds"), [("abdomen", (0, 1)), ("brain", (0,))])
def test_label_maps_and_probabilities_of_a_member(member, folds, model, results, images, tmp_path, stock_predict):
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
    # With probabilities nnU-Net decides by the rounded ones, so that a voxel may differ.
    for name in ("stock", "stock_probabilities"):
        stock_predict(view, images, tmp_path / name, folds, probabilities=name == "stock_probabilities")
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
