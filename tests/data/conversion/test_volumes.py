import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.conversion import Grid, NiftiVolume, Volume
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class Computed(Volume):
    """A volume that is no NIfTI file."""

    path: Path

    @property
    def files(self):
        return (self.path,)

    def grid(self):
        return Grid((2, 2, 2), np.eye(4))

    def read(self):
        return nibabel.Nifti1Image(np.load(self.path), np.eye(4))


class TestNiftiVolume:
    def test_grid_is_that_of_the_header(self, source, affines):
        grid = NiftiVolume(source.image("a.nii.gz")).grid()
        assert grid.shape == (6, 5, 4)
        np.testing.assert_array_equal(grid.affine, affines["oblique"])

    def test_grid_reads_no_voxels(self, source):
        path = source.image("a.nii", shape=(60, 50, 40))
        path.write_bytes(path.read_bytes()[:1000])
        assert NiftiVolume(path).grid().shape == (60, 50, 40)

    def test_index_chooses_along_the_fourth_dimension(self, source):
        path = source.image("a.nii.gz", shape=(6, 5, 4, 3))
        all_voxels = np.asanyarray(nibabel.load(path).dataobj)
        np.testing.assert_array_equal(NiftiVolume(path, 2).voxels(), all_voxels[..., 2])

    def test_index_beyond_the_fourth_dimension_is_refused(self, source):
        path = source.image("a.nii.gz", shape=(6, 5, 4, 3))
        with pytest.raises(HermesError, match=r"has shape \(6, 5, 4, 3\), and no volume 3 counted from 0"):
            NiftiVolume(path, 3).grid()

    def test_a_fourth_dimension_of_one_is_dropped(self, source, tmp_path):
        path = source.image("a.nii.gz", shape=(6, 5, 4, 1))
        NiftiVolume(path).write(tmp_path / "out.nii.gz", link=True)
        written = nibabel.load(tmp_path / "out.nii.gz")
        assert written.shape == (6, 5, 4)
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), NiftiVolume(path).voxels())

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
    def test_voxels_of_any_byte_order_and_version_are_written_as_stored(self, source, tmp_path, order, kind):
        voxels = np.random.default_rng(1).normal(size=(6, 5, 4, 2)).astype(np.float32)
        header = kind.header_class(endianness=order)
        header.set_data_dtype(np.dtype(np.float32).newbyteorder(order))
        nibabel.save(kind(voxels, np.diag([2, 2, 4, 1]), header), source.path / "a.nii.gz")
        NiftiVolume(source.path / "a.nii.gz", 1).write(tmp_path / "out.nii.gz", link=False)
        written = nibabel.load(tmp_path / "out.nii.gz")
        assert written.header.endianness == order
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), voxels[..., 1])
        np.testing.assert_array_equal(written.affine, np.diag([2, 2, 4, 1]))

    def test_compressing_gives_the_same_bytes_every_time(self, source, tmp_path):
        path = source.image("a.nii")
        for name in ("one.nii.gz", "two.nii.gz"):
            NiftiVolume(path).write(tmp_path / name, link=False)
        assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()

    def test_a_file_that_is_cut_is_not_written(self, source, tmp_path):
        path = source.image("a.nii", shape=(20, 20, 20))
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(HermesError, match=r"a\.nii cannot be read \(OSError: "):
            NiftiVolume(path).write(tmp_path / "out.nii.gz", link=False)
        assert list(tmp_path.glob("*.nii.gz")) == []

    def test_colours_are_refused(self, source):
        colours = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), source.path / "a.nii.gz")
        with pytest.raises(HermesError, match="stores voxels of type"):
            NiftiVolume(source.path / "a.nii.gz").grid()

    def test_another_format_is_refused(self, source):
        nibabel.save(nibabel.MGHImage(np.zeros((4, 4, 4), np.float32), np.eye(4)), source.path / "a.mgz")
        with pytest.raises(HermesError, match=r"a\.mgz is no NIfTI file"):
            NiftiVolume(source.path / "a.mgz").grid()


class TestOtherVolumes:
    def test_are_written_as_compressed_nifti(self, tmp_path):
        voxels = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
        np.save(tmp_path / "a.npy", voxels)
        Computed(tmp_path / "a.npy").write(tmp_path / "a.nii.gz", link=True)
        np.testing.assert_array_equal(np.asanyarray(nibabel.load(tmp_path / "a.nii.gz").dataobj), voxels)
        assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())

    def test_that_are_not_finite_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.full((2, 2, 2), np.inf))
        with pytest.raises(HermesError, match=r"a\.npy holds NaN or infinite voxels"):
            Computed(tmp_path / "a.npy").write(tmp_path / "a.nii.gz", link=False)

    def test_that_cannot_be_read_are_told(self, tmp_path):
        (tmp_path / "a.npy").write_bytes(b"")
        with pytest.raises(HermesError, match=r"a\.npy cannot be read \(EOFError"):
            Computed(tmp_path / "a.npy").voxels()
