"""What no image can be is refused by its header, in every format, before memory is taken for it."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.core.images.opening import in_space, open_array, open_image, open_nibabel
from hermes_nnunet.core.images.writing import save_voxels
from hermes_nnunet.errors import HermesError

SHAPE = (4, 5, 6)
VOXELS = np.arange(120, dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def opened(tmp_path, write_nifti):
    """A function that writes a NIfTI file with a header and opens it."""

    def run(*args, name="a.nii.gz", **header):
        return open_image(write_nifti(tmp_path / name, VOXELS, *args, **header))

    return run


class TestAffine:
    @pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("place", [(0, 0), (1, 3)])
    def test_that_is_no_number(self, opened, entry, place):
        affine = np.diag([2.0, 2, 2, 1])
        affine[place] = entry
        with pytest.raises(HermesError, match=r"a\.nii\.gz does not say where its voxels lie"):
            opened(affine, zooms=(2, 2, 2))
        with pytest.raises(HermesError, match="the image does not say where its voxels lie"):
            in_space(SHAPE, affine, "the image")

    def test_that_is_flat(self, opened):
        affine = np.diag([2.0, 2, 2, 1])
        affine[:3, 1] = affine[:3, 0]
        with pytest.raises(HermesError, match="does not say where its voxels lie"):
            opened(affine)


class TestSize:
    @pytest.mark.parametrize("length", [1e-3, 0.01, 1e4, 1e30])
    @pytest.mark.parametrize("axis", range(3))
    def test_of_voxels(self, opened, tmp_path, length, axis):
        spacing = [2.0, 2, 2]
        spacing[axis] = length
        with pytest.raises(HermesError, match=r"a\.nii\.gz has voxels of .* mm, which no image has"):
            opened(np.diag([*spacing, 1]))
        with pytest.raises(HermesError, match="which no image has"):
            open_array(VOXELS, spacing, "the image")
        if length < 1e30:
            save_voxels(VOXELS, tmp_path / "a.nrrd", np.diag([*spacing, 1]), {})
            with pytest.raises(HermesError, match=r"a\.nrrd has voxels of .* mm, which no image has"):
                open_image(tmp_path / "a.nrrd")

    def test_of_the_whole(self, opened):
        """Micrometres that are taken for millimetres."""
        with pytest.raises(HermesError, match=r"4 x 5 x 6 voxels of 700 x 700 x 5000 mm, so it is longer than 10 m"):
            opened(np.diag([700.0, 700, 5000, 1]))

    def test_of_an_axis_without_voxels(self, tmp_path, write_nifti):
        with pytest.raises(HermesError, match=r"has shape \(4, 0, 6\), so no voxels"):
            open_image(write_nifti(tmp_path / "a.nii", np.zeros((4, 0, 6), np.int16), np.eye(4)))
        image = nibabel.Nifti1Image(np.zeros((4, 0, 6), np.int16), np.eye(4))
        with pytest.raises(HermesError, match="so no voxels"):
            open_nibabel(image, "the image")

    def test_is_not_asked_of_what_there_is(self, opened):
        # A projection in one thick slice, a dental CT, a cine MRI.
        for spacing in ((0.3, 0.3, 900), (0.08, 0.08, 0.08), (1.3, 1.3, 10)):
            assert opened(np.diag([*spacing, 1])).geometry.spacing == pytest.approx(spacing, rel=1e-6)

    @settings(deadline=None)
    @given(st.tuples(*[st.floats(0.011, 1600)] * 3), st.integers(0, 2), st.sampled_from([0.0, 0.01, 1e4, np.inf]))
    def test_limits_hold_on_every_axis(self, spacing, axis, beyond):
        assert in_space(SHAPE, np.diag([*spacing, 1.0]), "the image").spacing == pytest.approx(spacing)
        impossible = [*spacing]
        impossible[axis] = beyond
        with pytest.raises(HermesError):
            in_space(SHAPE, np.diag([*impossible, 1.0]), "the image")


class TestLength:
    """A file that is shorter than its header says: gigabytes are not taken for it, nor is it filled up."""

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_of_nifti(self, tmp_path, write_nifti, name):
        content = bytearray(write_nifti(tmp_path / "whole.nii", VOXELS, np.eye(4)).read_bytes())
        content[42:48] = np.array([9000, 9000, 9000], np.int16).tobytes()
        (tmp_path / name).write_bytes(gzip.compress(bytes(content)) if name.endswith("gz") else bytes(content))
        with pytest.raises(HermesError, match=rf"{name} cannot .* \d+ bytes cannot hold 9000 x 9000 x 9000 voxels"):
            open_image(tmp_path / name)

    def test_of_a_file_that_lacks_a_byte(self, tmp_path, write_nifti):
        path = write_nifti(tmp_path / "a.nii", VOXELS, np.eye(4))
        open_image(path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(HermesError, match="it is cut short"):
            open_image(path)

    @pytest.mark.parametrize("name", ["a.gipl", "a.mha", "a.nrrd"])
    def test_of_other_formats(self, tmp_path, name):
        path = tmp_path / name
        voxels = np.random.default_rng(0).integers(0, 99, (20, 20, 20), dtype=np.int16)
        image = SimpleITK.GetImageFromArray(voxels)
        SimpleITK.WriteImage(image, str(path), useCompression=False)
        np.testing.assert_array_equal(open_image(path).voxels(), voxels.T)
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(HermesError, match="cannot be read"):
            open_image(path).voxels()

    def test_of_an_image_of_nothing(self, tmp_path):
        """What gzip packs most tightly is no shorter than it must be."""
        path = tmp_path / "a.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.zeros((200, 200, 200), np.float32), np.eye(4)), path)
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 9))
        assert open_image(path).shape == (200, 200, 200)
