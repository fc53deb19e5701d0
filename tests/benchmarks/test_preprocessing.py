import json

import nibabel
import numpy as np
import pytest


@pytest.fixture
def source(tmp_path):
    """Three data sets with a ball in the middle of their one image."""
    grid = np.mgrid[-1:1:24j, -1:1:24j, -1:1:24j]
    ball = (np.sum(grid**2, axis=0) < 0.5).astype(np.uint8)
    image = (300.0 * ball + np.random.default_rng(0).normal(size=ball.shape)).astype(np.float32)
    for number, spacing in ((301, (2, 2, 2)), (303, (1.5, 1.5, 8)), (304, (0.9, 0.9, 0.9))):
        folder = tmp_path / f"Dataset{number}_Ball"
        for name, array in (("imagesTr/a_0000", image), ("labelsTr/a", ball)):
            (folder / name).parent.mkdir(parents=True)
            nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing, 1])), folder / f"{name}.nii.gz")
        (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "ball": 1}}))
    return tmp_path


def test_results_are_compared_with_nnunets(run_benchmark, source):
    rows = run_benchmark("preprocessing", source)
    assert [row["modality"] for row in rows] == ["CT", "cineMRI", "LGE-MRI"]
    assert rows[1]["voxels"] == 24 * 24 * 128
    for row in rows:
        assert row["times faster in memory"] == pytest.approx(row["hermes voxels/s"] / row["nnU-Net voxels/s"])
        assert row["mean difference"] < 0.1
        assert row["lowest Dice"] > 0.97


def test_ends_with_a_line_where_there_are_no_images(run_benchmark, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_benchmark("preprocessing", tmp_path / "nowhere")
    assert ended.value.code == 0
    assert "nowhere: give their folder" in capsys.readouterr().err
