"""Released weights through nnU-Net's stock command."""

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

pytestmark = pytest.mark.end_to_end


def reoriented(image, codes):
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))


def test_a_members_view_segments_images_of_any_orientation_in_the_members_labels(
    new_workplace, make_released, tmp_path
):
    place = new_workplace()
    checkpoint = make_released("r", tmp_path / "hermes_r.pth", task_rows=72, num_modalities=6)
    printed = place.run("hermes_nnunet", "import-weights", checkpoint, "--into", 910)
    (view,) = place.results.glob("Dataset*_MnMs")
    assert f"HermesResUNet, 71 tasks: {place.results}/Dataset910_Hermes" in printed

    voxels = np.random.default_rng(0).normal(size=(30, 34, 26)).astype(np.float32)
    image = nibabel.Nifti1Image(np.kron(voxels[::2, ::2, ::2], np.ones((2, 2, 2))), np.diag([1.4, 1.6, 1.5, 1]))
    images = tmp_path / "images"
    images.mkdir()
    nibabel.save(image, images / "ras_0000.nii.gz")
    nibabel.save(reoriented(image, "LPI"), images / "lpi_0000.nii.gz")
    place.run(
        "nnUNetv2_predict", "-d", view.name[7:10], "-tr", "HermesTrainerPaper", "-p", "HermesPaperRPlans",
        "-c", "3d_fullres", "-f", 0, "-i", images, "-o", tmp_path / "out",
        "-npp", 1, "-nps", 1, "-device", "cpu", "--disable_progress_bar", HERMES_MODALITY="cineMRI",
    )  # fmt: skip

    ras, lpi = (nibabel.load(tmp_path / "out" / f"{name}.nii.gz") for name in ("ras", "lpi"))
    assert np.allclose(ras.affine, image.affine)
    assert np.array_equal(np.asarray(reoriented(lpi, "RAS").dataobj), np.asarray(ras.dataobj))
    found = np.unique(np.asarray(ras.dataobj))
    assert set(found) <= {0, 1, 2, 3}
    assert len(found) > 1
