import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.images.remarks import NO_CODES, QFORM
from hermes_nnunet.errors import HermesError, UsageError

SHAPE = (5, 6, 7)
CINE_SFORM = np.diag([-1.0, -1, 1, 1])
CINE_QFORM = np.diag([-1.3158, -1.3158, 10.0, 1])
VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def opened(tmp_path, write_nifti):
    """A function that writes a file with a header and opens it."""

    def run(*args, spacing_from=None, **header):
        return open_image(write_nifti(tmp_path / "a.nii.gz", VOXELS, *args, **header), spacing_from)

    return run


class TestSpacing:
    def test_is_that_of_both_where_they_agree(self, opened):
        image = opened(np.diag([-2.0, 3, 4, 1]), qform=np.diag([-2.0, 3, 4, 1]))
        assert image.geometry.spacing == (2, 3, 4)
        assert not image.mended
        assert image.remarks == ()

    def test_is_the_affines_where_the_header_has_it_rounded(self, opened):
        image = opened(np.diag([0.703125, 0.703125, 5, 1]), zooms=(0.7031, 0.7031, 5))
        assert image.geometry.spacing == (0.703125, 0.703125, 5)
        assert not image.mended

    def test_is_the_qforms_where_the_sform_contradicts_the_header(self, opened):
        image = opened(CINE_SFORM, qform=CINE_QFORM)
        assert image.geometry.spacing == pytest.approx((1.3158, 1.3158, 10), rel=1e-6)
        np.testing.assert_allclose(image.geometry.affine, CINE_QFORM, atol=1e-6)
        assert image.mended
        assert [remark.what for remark in image.remarks] == [QFORM]
        assert image.remarks[0].name.endswith("a.nii.gz")

    def test_is_refused_where_nothing_decides(self, opened):
        with pytest.raises(HermesError) as error:
            opened(np.diag([2.0, 2, 2, 1]), zooms=(1, 1, 1))
        assert "a.nii.gz says two spacings: 2 x 2 x 2 mm by its affine (sform), 1 x 1 x 1 mm by its header" in str(
            error.value
        )
        assert "--spacing-from affine or --spacing-from header" in str(error.value)
        assert "\n" not in str(error.value)

    def test_is_refused_where_the_qform_looks_another_way(self, opened):
        with pytest.raises(HermesError, match="its qform looks another way"):
            opened(np.diag([1.0, 1, 1, 1]), qform=np.diag([-2.0, 2, 2, 1]))

    @pytest.mark.parametrize(("choice", "spacing"), [("affine", 2), ("header", 1)])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_is_what_people_choose(self, opened, choice, spacing, sign):
        sform = np.array([[0, 2.0 * sign, 0, 7], [2.0, 0, 0, -3], [0, 0, 2, 5], [0, 0, 0, 1]])
        image = opened(sform, zooms=(1, 1, 1), spacing_from=choice)
        assert image.geometry.spacing == (spacing,) * 3
        np.testing.assert_allclose(image.geometry.affine[:3, :3], sform[:3, :3] / 2 * spacing)
        np.testing.assert_allclose(image.geometry.affine[:3, 3], (7, -3, 5))
        assert image.chosen

    def test_is_not_a_matter_of_choice_where_the_header_decides(self, opened):
        image = opened(CINE_SFORM, qform=CINE_QFORM, spacing_from="affine")
        assert image.geometry.spacing == pytest.approx((1.3158, 1.3158, 10), rel=1e-6)
        assert not image.chosen

    def test_choice_must_be_one_of_two(self, opened):
        with pytest.raises(UsageError, match="spacing_from is 'qform': choose 'affine', 'header'"):
            opened(np.eye(4), spacing_from="qform")

    def test_that_is_nothing_is_the_sforms(self, opened):
        image = opened(np.diag([2.0, 3, 4, 1]), zooms=(0, 0, 0))
        assert image.geometry.spacing == (2, 3, 4)
        assert image.geometry.header["pixdim"][1:4] == [2, 3, 4]

    @pytest.mark.parametrize("zooms", [(-2, 3, 4), (-2, -3, -4)])
    def test_has_no_sign(self, opened, zooms):
        image = opened(np.diag([2.0, 3, 4, 1]), zooms=zooms)
        assert image.geometry.spacing == (2, 3, 4)
        assert image.geometry.header["pixdim"][1:4] == [2, 3, 4]

    def test_of_a_tilted_gantry_is_the_headers(self, opened):
        tilt = np.deg2rad(20)
        sform = np.array([[0.5, 0, 0, 0], [0, 0.5, 3 * np.tan(tilt), 0], [0, 0, 3, 0], [0, 0, 0, 1]])
        image = opened(sform, zooms=(0.5, 0.5, 3))
        assert image.geometry.spacing == pytest.approx((0.5, 0.5, 3))
        assert image.geometry.voxel_mm3 == pytest.approx(0.75, rel=1e-6)


class TestWithoutCodes:
    def test_is_read_as_nibabel_does_and_said(self, opened, tmp_path):
        image = opened(zooms=(2, 3, 4))
        np.testing.assert_array_equal(image.geometry.affine, nibabel.load(tmp_path / "a.nii.gz").affine)
        assert image.geometry.spacing == (2, 3, 4)
        assert [remark.what for remark in image.remarks] == [NO_CODES]

    @pytest.mark.parametrize("zooms", [(0, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1)])
    def test_and_without_a_spacing_is_refused(self, opened, zooms):
        with pytest.raises(HermesError, match="does not say where its voxels lie"):
            opened(zooms=zooms)


class TestUnusable:
    @pytest.mark.parametrize(
        "affine",
        [
            np.diag([2.0, 2, 0, 1]),
            np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            np.diag([2.0, np.nan, 2, 1]),
            np.diag([2.0, np.inf, 2, 1]),
        ],
    )
    def test_sform_is_refused_in_one_line(self, opened, affine):
        with pytest.raises(HermesError, match=r"a\.nii\.gz does not say where its voxels lie: its sform \(code 2\)"):
            opened(affine, zooms=(2, 2, 2))

    def test_sform_beside_a_usable_qform_is_that(self, opened):
        image = opened(np.diag([2.0, 2, 0, 1]), qform=np.diag([-2.0, 2, 3, 1]))
        assert image.geometry.spacing == (2, 2, 3)
        assert [remark.what for remark in image.remarks] == [QFORM]


class TestDirections:
    @pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SLA", "IPL"])
    def test_come_to_right_front_and_head(self, tmp_path, write_nifti, codes):
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
        ras = np.array([[2.0, 0, 0, 11], [0, 3, 0, 12], [0, 0, 4, 13], [0, 0, 0, 1]])
        own = apply_orientation(VOXELS, turn)
        affine = ras @ nibabel.orientations.inv_ornt_aff(turn, SHAPE)
        image = open_image(write_nifti(tmp_path / "a.nii", own, affine))
        assert nibabel.aff2axcodes(image.geometry.affine) == tuple(codes)
        np.testing.assert_array_equal(image.geometry.to_ras(image.voxels()), VOXELS)
        np.testing.assert_allclose(image.geometry.ras_affine, ras)
        assert image.geometry.ras_spacing == (2, 3, 4)
        assert image.geometry.ras_shape == SHAPE
        np.testing.assert_array_equal(io_orientation(image.geometry.ras_affine)[:, 1], 1)
