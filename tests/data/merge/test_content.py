import gzip

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.merge.case_rewriting import hash_images

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
OBLIQUE = np.array([[1.2, 0.3, 0, -80], [-0.3, 1.2, 0.1, 40], [0, -0.1, 3, 7], [0, 0, 0, 1.0]])


@pytest.fixture
def hash_of(tmp_path):
    """A function: hash of an image that is written as told."""

    def of(voxels=VOXELS, affine=OBLIQUE, *, name="a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / name)
        ((digest,), problems) = hash_images(((tmp_path / name,), None))
        assert problems == []
        return digest

    return of


class TestHash:
    def test_is_of_voxels_and_not_of_files(self, hash_of, tmp_path):
        first = hash_of()
        (tmp_path / "b.nii.gz").write_bytes(gzip.compress(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()), 1))
        (tmp_path / "link.nii.gz").symlink_to(tmp_path / "a.nii.gz")
        assert hash_images(((tmp_path / "b.nii.gz", tmp_path / "link.nii.gz"), None)) == ([first, first], [])
        assert hash_of(name="c.nii") == first

    @pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
    def test_is_the_same_for_every_type_of_number(self, hash_of, dtype):
        assert hash_of(VOXELS.astype(dtype)) == hash_of()

    def test_is_of_scaled_values(self, hash_of, tmp_path):
        hash_of((VOXELS + 1024).astype(np.uint16))
        # What nibabel writes has no scaling, so it is put into the bytes of the header.
        content = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
        content[112:120] = np.array([1, -1024], np.float32).tobytes()
        (tmp_path / "scaled.nii").write_bytes(content)
        assert hash_images(((tmp_path / "scaled.nii",), None))[0] == [hash_of()]

    @pytest.mark.parametrize("axes", ["LPS", "PIR", "SAL", "RAS"])
    def test_is_the_same_for_every_order_of_axes(self, hash_of, axes):
        image = nibabel.Nifti1Image(VOXELS, OBLIQUE)
        turn = nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(OBLIQUE), nibabel.orientations.axcodes2ornt(axes)
        )
        turned = image.as_reoriented(turn)
        assert hash_of(np.asanyarray(turned.dataobj), turned.affine) == hash_of()

    def test_does_not_look_at_the_place(self, hash_of):
        moved = OBLIQUE.copy()
        moved[:3, 3] += 7
        assert hash_of(affine=moved) == hash_of()

    def test_differs_where_one_voxel_does(self, hash_of):
        other = VOXELS.copy()
        other[2, 3, 4] += 1
        assert hash_of(other) != hash_of()

    def test_differs_where_the_same_values_have_another_shape(self, hash_of):
        voxels = np.arange(24).reshape(2, 3, 4, order="F").astype(np.int16)
        assert hash_of(voxels, np.eye(4)) != hash_of(voxels.reshape(3, 2, 4, order="F"), np.eye(4))

    def test_of_an_image_of_one_value_says_nothing(self, hash_of):
        assert hash_of(np.full((3, 4, 5), 7, np.int16)) == ""

    def test_of_both_zeros_is_one(self, hash_of):
        voxels = VOXELS.astype(np.float32)
        voxels[0, 0, 0] = 0.0
        negative = voxels.copy()
        negative[0, 0, 0] = -0.0
        assert hash_of(voxels) == hash_of(negative)
