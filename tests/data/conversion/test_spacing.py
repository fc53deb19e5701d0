"""Published files whose headers say two spacings."""

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.conversion import NiftiVolume
from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.errors import HermesError

SHAPE = (6, 5, 4)
VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
CINE = {"affine": np.diag([-1.0, -1, 1, 1]), "sform": 1, "qform": np.diag([-1.3158, -1.3158, 10.0, 1])}
TWO = {"affine": np.diag([2.0, 2, 2, 1]), "zooms": (1, 1, 1)}


class TestVolume:
    @pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.Nii"])
    def test_is_written_with_the_spacing_of_the_qform(self, tmp_path, write_nifti, name):
        volume = NiftiVolume(write_nifti(tmp_path / name, VOXELS, **CINE))
        assert volume.grid().mended
        np.testing.assert_allclose(volume.grid().affine, CINE["qform"], atol=1e-6)
        volume.write(tmp_path / "out.nii.gz", link=True)
        written = nibabel.load(tmp_path / "out.nii.gz")
        assert not (tmp_path / "out.nii.gz").is_symlink()
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), VOXELS)
        assert written.header.get_zooms() == pytest.approx((1.3158, 1.3158, 10), rel=1e-6)
        np.testing.assert_allclose(written.get_sform(), CINE["qform"], rtol=1e-6)
        np.testing.assert_allclose(written.get_qform(), CINE["qform"], rtol=1e-6)

    def test_of_four_dimensions_too(self, tmp_path, write_nifti):
        path = write_nifti(tmp_path / "a.nii.gz", np.stack([VOXELS, VOXELS + 1], -1), **CINE)
        NiftiVolume(path, 1).write(tmp_path / "out.nii.gz", link=False)
        written = nibabel.load(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), VOXELS + 1)
        assert written.header.get_zooms() == pytest.approx((1.3158, 1.3158, 10), rel=1e-6)
        np.testing.assert_allclose(written.affine, CINE["qform"], rtol=1e-6)

    def test_keeps_the_slope(self, tmp_path, write_nifti):
        volume = NiftiVolume(write_nifti(tmp_path / "a.nii.gz", VOXELS, **CINE, slope=0.5, inter=-3))
        volume.write(tmp_path / "out.nii.gz", link=False)
        np.testing.assert_allclose(nibabel.load(tmp_path / "out.nii.gz").get_fdata(), VOXELS * 0.5 - 3)

    def test_without_a_judge_is_refused(self, tmp_path, write_nifti):
        volume = NiftiVolume(write_nifti(tmp_path / "a.nii.gz", VOXELS, **TWO))
        with pytest.raises(HermesError, match="says two spacings"):
            volume.grid()

    @pytest.mark.parametrize(("choice", "edge"), [("affine", 2), ("header", 1)])
    def test_is_told_which_is_right(self, tmp_path, write_nifti, choice, edge):
        volume = NiftiVolume(write_nifti(tmp_path / "a.nii.gz", VOXELS, **TWO)).told(choice)
        volume.write(tmp_path / "out.nii.gz", link=True)
        written = nibabel.load(tmp_path / "out.nii.gz")
        assert written.header.get_zooms() == (edge,) * 3
        np.testing.assert_array_equal(written.affine, np.diag([edge, edge, edge, 1]))


class TestDataSet:
    @pytest.fixture
    def acdc(self, source, write_nifti):
        """ACDC with the headers that it was published with, in patients 1 to 3."""
        for number in (1, 2, 3):
            folder = source.path / f"training/patient{number:03d}"
            for frame in (1, 9):
                stem = folder / f"patient{number:03d}_frame{frame:02d}"
                write_nifti(stem.with_name(f"{stem.name}.nii.gz"), VOXELS, **CINE)
                write_nifti(stem.with_name(f"{stem.name}_gt.nii.gz"), (VOXELS % 4).astype(np.uint8), **CINE)
            (folder / "Info.cfg").write_text("ED: 1\nES: 9\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n")
        return source

    def test_has_the_right_spacing_for_every_reader_and_files_are_counted(self, acdc, converted):
        from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient

        result = converted("acdc", all_training=True)
        for name in ("imagesTr/patient001_ED_0000.nii.gz", "labelsTr/patient001_ED.nii.gz"):
            voxels, properties = NibabelIOWithReorient().read_images([str(result.folder / name)])
            assert properties["spacing"] == pytest.approx([10, 1.3158, 1.3158], rel=1e-6)
        np.testing.assert_array_equal(voxels[0], (VOXELS % 4)[::-1, ::-1].T)
        (line,) = [line for line in result_lines(result.result) if line.startswith("spacing mended")]
        assert line.startswith("spacing mended in 12 files")
        assert "patient001_frame01.nii.gz, patient001_frame01_gt.nii.gz" in line

    def test_without_a_judge_asks_and_is_told(self, acdc, converted, write_nifti, raw):
        for path in acdc.path.rglob("patient*.nii.gz"):
            write_nifti(path, (VOXELS % 4).astype(np.uint8), **TWO)
        with pytest.raises(HermesError, match="says two spacings"):
            converted("acdc", all_training=True)
        assert list(raw.iterdir()) == []
        result = converted("acdc", all_training=True, spacing_from="header")
        assert nibabel.load(result.folder / "labelsTr/patient001_ED.nii.gz").header.get_zooms() == (1, 1, 1)
        with pytest.raises(HermesError, match="was made with spacing_from 'header', not 'affine'"):
            converted("acdc", all_training=True, spacing_from="affine")
