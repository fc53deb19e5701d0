import nibabel
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from hermes_nnunet.core.images.nifti_headers import header_with
from hermes_nnunet.core.images.opening import open_image, read_geometry
from hermes_nnunet.core.images.remarks import NO_CODES, NOT_THE_UNIT, OTHER_UNIT, QFORM, SIDES
from hermes_nnunet.core.images.writing import save_on_grid
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


class TestUnit:
    """Of lengths: xyzt_units of the header."""

    @pytest.fixture
    def in_unit(self, tmp_path):
        """A function that writes a file with lengths in a unit, and opens it."""

        def run(unit, edge, shape=SHAPE):
            affine = np.diag([-edge, edge, 2 * edge, 1.0])
            affine[:3, 3] = 5 * edge, -3 * edge, 7 * edge
            image = nibabel.Nifti1Image(np.ones(shape, np.int16), affine)
            image.set_qform(affine, 1)
            image.header.set_xyzt_units(unit, "sec")
            nibabel.save(image, tmp_path / "a.nii.gz")
            return open_image(tmp_path / "a.nii.gz")

        return run

    @pytest.mark.parametrize(("unit", "in_mm"), [("meter", 1e-3), ("micron", 1e3)])
    def test_becomes_millimetres_and_stays_in_what_is_written(self, in_unit, tmp_path, unit, in_mm):
        same = in_unit("mm", 1.5)
        image = in_unit(unit, 1.5 * in_mm)
        assert image.geometry.spacing == pytest.approx((1.5, 1.5, 3), rel=1e-6)
        np.testing.assert_allclose(image.geometry.affine, same.geometry.affine, rtol=1e-6)
        assert [remark.what for remark in image.remarks] == [OTHER_UNIT]
        save_on_grid(np.zeros(SHAPE, np.uint8), tmp_path / "mask.nii.gz", image.geometry)
        mask, of_image = (nibabel.load(tmp_path / name) for name in ("mask.nii.gz", "a.nii.gz"))
        np.testing.assert_array_equal(mask.affine, of_image.affine)
        assert mask.header.get_xyzt_units() == of_image.header.get_xyzt_units() == (unit, "sec")
        np.testing.assert_array_equal(open_image(tmp_path / "mask.nii.gz").geometry.affine, image.geometry.affine)
        in_itk = [SimpleITK.ReadImage(str(tmp_path / name)) for name in ("mask.nii.gz", "a.nii.gz")]
        assert in_itk[0].GetSpacing() == in_itk[1].GetSpacing() == pytest.approx((1.5, 1.5, 3), rel=1e-6)

    def test_of_a_small_animal_is_not_taken_for_that_of_a_giant(self, in_unit):
        assert in_unit("micron", 40.0).geometry.spacing == pytest.approx((0.04, 0.04, 0.08), rel=1e-6)

    @pytest.mark.parametrize("unit", ["meter", "micron"])
    def test_that_no_image_can_have_is_millimetres(self, in_unit, unit):
        image = in_unit(unit, 1.5)
        assert image.geometry.spacing == (1.5, 1.5, 3)
        assert [remark.what for remark in image.remarks] == [NOT_THE_UNIT]

    def test_goes_with_a_qform_that_decides(self, tmp_path, in_unit):
        in_unit("micron", 1500.0)
        image = nibabel.load(tmp_path / "a.nii.gz")
        image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = np.diag([-1.0, 1, 1, 1])[:3]
        header = image.header.binaryblock + bytes(4)
        (tmp_path / "b.nii").write_bytes(header + np.asarray(image.dataobj).tobytes(order="F"))
        found = open_image(tmp_path / "b.nii")
        assert found.geometry.spacing == pytest.approx((1.5, 1.5, 3), rel=1e-6)
        assert [remark.what for remark in found.remarks] == [QFORM, OTHER_UNIT]
        again = header_with(found.geometry.header)
        np.testing.assert_allclose(again.get_sform(), again.get_qform(), rtol=1e-5)
        np.testing.assert_allclose(again["pixdim"][1:4], (1500, 1500, 3000), rtol=1e-6)


class TestSides:
    def test_that_differ_between_sform_and_qform_are_said(self, opened):
        image = opened(np.diag([-2.0, 3, 4, 1]), qform=np.diag([2.0, 3, 4, 1]))
        assert [remark.what for remark in image.remarks] == [SIDES]
        np.testing.assert_array_equal(image.geometry.affine, np.diag([-2.0, 3, 4, 1]))

    def test_that_are_turned_by_a_registration_are_not(self, opened):
        turned = np.eye(4)
        turned[:2, :2] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
        assert opened(turned, qform=np.eye(4)).remarks == ()

    def test_of_a_third_axis_that_nobody_has_set_are_those_of_the_standard(self, tmp_path, write_nifti):
        path = write_nifti(tmp_path / "a.nii", VOXELS, qform=np.diag([-2.0, -3, 4, 1]))
        content = bytearray(path.read_bytes())
        content[76:80] = bytes(4)  # pixdim[0]
        path.write_bytes(content)
        image = open_image(path)
        np.testing.assert_allclose(image.geometry.affine, np.diag([-2.0, -3, 4, 1]), atol=1e-6)
        save_on_grid(np.zeros(SHAPE, np.uint8), tmp_path / "mask.nii.gz", image.geometry)
        np.testing.assert_allclose(nibabel.load(tmp_path / "mask.nii.gz").affine, image.geometry.affine, atol=1e-6)


class TestCompression:
    @pytest.mark.parametrize(("name", "other"), [("a.nii", "b.nii.gz"), ("a.nii.gz", "b.nii")])
    def test_is_told_by_the_bytes_not_by_the_name(self, tmp_path, write_nifti, name, other):
        written = write_nifti(tmp_path / name, VOXELS, np.diag([2.0, 3, 4, 1]))
        renamed = written.rename(tmp_path / other)
        image = open_image(renamed)
        np.testing.assert_array_equal(image.voxels(), VOXELS)
        assert image.geometry.spacing == read_geometry(renamed).spacing == (2, 3, 4)

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_that_is_cut_short_is_told(self, tmp_path, write_nifti, name):
        path = write_nifti(tmp_path / "whole.nii", VOXELS, np.eye(4)).rename(tmp_path / name)
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(HermesError, match=r"a\.nii.* cannot be read"):
            open_image(path).voxels()
