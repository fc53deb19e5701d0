"""What is predicted is what nnU-Net's own predictor gives, voxel for voxel.

For a member with its view, for everything with the universal model.
"""

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


@pytest.mark.parametrize(
    ("modality", "options", "values"),
    [("CT", [], {1, 2}), ("CT", ["--all-modalities"], {1, 2, 3, 4}), ("unknown", [], {1, 2, 3, 4})],
)
def test_label_maps_and_probabilities_of_everything(
    modality, options, values, model, images, tmp_path, monkeypatch, stock_predict
):
    (images / "a_0000.nii.gz").unlink()
    monkeypatch.setenv("HERMES_MODALITY", modality)
    with monkeypatch.context() as switch:
        if options:
            switch.setenv("HERMES_ALL_MODALITIES", "1")
        for name in ("stock", "stock_probabilities"):
            stock_predict(model, images, tmp_path / name, (0, 1), probabilities=name == "stock_probabilities")
    predict(model, images, tmp_path / "ours", "--all", *options, "--probabilities")
    expected = voxels(tmp_path / "stock" / "b.nii.gz")
    assert set(np.unique(expected)) == {0} | values
    np.testing.assert_array_equal(voxels(tmp_path / "ours" / "b.nii.gz"), expected)
    stock = np.load(tmp_path / "stock_probabilities" / "b.npz")["probabilities"]
    probabilities = np.load(tmp_path / "ours" / "b.npz")["probabilities"]
    assert len(stock) == 4
    np.testing.assert_allclose(probabilities, stock[: len(values)], rtol=0, atol=1e-6)
    assert not stock[len(values) :].any()


def test_a_tasks_logits_do_not_depend_on_the_way_it_was_asked_for(read_model, images, tmp_path):
    """In a union of one member they are those of the member's pass, bit for bit; in a larger one they are not."""
    from hermes_nnunet.prediction.finding import find_cases
    from hermes_nnunet.prediction.passes import choose
    from hermes_nnunet.prediction.predictor import HermesPredictor
    from hermes_nnunet.prediction.preparing import prepare
    from hermes_nnunet.prediction.running import run_pass

    predictor = HermesPredictor(read_model, "cpu")
    case = find_cases(images)[1]

    def logits(**wish):
        (one,) = choose(read_model, modality="CT", **wish).passes
        folder = tmp_path / "_".join(wish)
        folder.mkdir()
        prepared = prepare(case, [one], read_model, predictor.configuration_manager, folder)
        of_tasks, _ = run_pass(predictor, one, prepared)
        return dict(zip((label.name for label in one.labels), of_tasks, strict=True))

    member = logits(members=["abdomen"])
    everything = logits(everything=True)
    assert list(everything) == ["abdomen/liver", "abdomen/spleen"]
    task = logits(tasks=["spleen"])["abdomen/spleen"]
    for name in member:
        np.testing.assert_array_equal(everything[name], member[name])
    np.testing.assert_array_equal(task, member["abdomen/spleen"])
    union = logits(everything=True, all_modalities=True)
    assert len(union) == 4
    assert not np.array_equal(union["abdomen/liver"], member["abdomen/liver"])
