from pathlib import Path

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.merge.case_rewriting import CaseFiles, map_values, rewrite_case

OBLIQUE = np.array([[1.2, 0.3, 0, -80], [-0.3, 1.2, 0.1, 40], [0, -0.1, 3, 7], [0, 0, 0, 1.0]])


class TestMapValues:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
    def test_replaces_every_value(self, dtype):
        own = np.array([[[0, 3], [7, 3]]], dtype)
        mapped, unknown = map_values(own, {0: 0, 3: 300, 7: 0}, "uint16")
        assert mapped.tolist() == [[[0, 300], [0, 300]]]
        assert mapped.dtype == np.uint16
        assert unknown == []

    @pytest.mark.parametrize("value", [-1, 2, 4, 70000])
    def test_finds_unknown_whole_values(self, value):
        own = np.array([[[0, 3], [3, value]]], np.int32)
        assert map_values(own, {0: 0, 3: 1}, "uint8")[1] == [value]

    @pytest.mark.parametrize("value", [0.5, 2.9999, -0.25, np.inf])
    def test_finds_values_that_are_not_whole(self, value):
        own = np.array([[[0, 3], [3, value]]])
        assert map_values(own, {0: 0, 3: 1}, "uint8")[1] == [value]

    def test_stops_early_where_nothing_fits(self):
        own = np.random.default_rng(0).random((40, 40, 100))
        assert len(map_values(own, {0: 0, 1: 1}, "uint8")[1]) <= 1600


class TestRewriteCase:
    @pytest.fixture
    def files(self, tmp_path: Path) -> CaseFiles:
        image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), OBLIQUE)
        image.header.set_qform(OBLIQUE, code=1)
        image.header["descrip"] = b"a name"
        nibabel.save(image, tmp_path / "image.nii.gz")
        label = nibabel.Nifti1Image(np.full((4, 5, 6), 2, np.uint8), OBLIQUE + 1e-4)
        nibabel.save(label, tmp_path / "label.nii.gz")
        outputs = (tmp_path / "one.nii.gz", tmp_path / "two.nii.gz")
        return CaseFiles((tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz", outputs, {0: 0, 2: 5}, "uint8")

    def test_writes_exactly_the_geometry_of_the_image(self, files):
        assert rewrite_case(files).problems == ()
        image, written = nibabel.load(files.images[0]), nibabel.load(files.outputs[0])
        np.testing.assert_array_equal(written.affine, image.affine)
        for name in ("pixdim", "qform_code", "sform_code", "srow_x", "quatern_b", "qoffset_x"):
            np.testing.assert_array_equal(written.header[name], image.header[name])

    def test_takes_nothing_else_from_the_images_header(self, files):
        rewrite_case(files)
        assert nibabel.load(files.outputs[0]).header["descrip"] == b""

    def test_writes_all_outputs_alike(self, files):
        rewrite_case(files)
        assert np.unique(nibabel.load(files.outputs[1]).dataobj).tolist() == [5]
        assert files.outputs[0].read_bytes() == files.outputs[1].read_bytes()

    def test_returns_all_problems_and_writes_nothing(self, files):
        label = nibabel.Nifti1Image(np.full((4, 5, 7), 9, np.uint8), OBLIQUE)
        nibabel.save(label, files.label)
        problems = rewrite_case(files).problems
        assert [("shape" in problem, "holds 9" in problem) for problem in problems] == [(True, False), (False, True)]
        assert not any(output.exists() for output in files.outputs)

    def test_applies_the_scaling_of_label_files(self, files):
        label = nibabel.Nifti1Image(np.ones((4, 5, 6), np.uint8), OBLIQUE)
        label.header.set_slope_inter(2, 0)
        nibabel.save(label, files.label)
        content = nibabel.load(files.label)
        assert np.unique(content.dataobj).tolist() == [2]
        assert rewrite_case(files).problems == ()
        assert np.unique(nibabel.load(files.outputs[0]).dataobj).tolist() == [5]
