"""Geometry alone, and the whole image: the same."""

import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet.core.images.opening import open_image, read_geometry
from hermes_nnunet.errors import HermesError

AFFINE = np.array([[0, 0, 3.0, 7], [0, -2.0, 0, 5], [1.5, 0, 0, -3], [0, 0, 0, 1]])
VOXELS = np.zeros((4, 5, 6), np.int16)


def write_nifti_2(path):
    nibabel.save(nibabel.Nifti2Image(VOXELS, AFFINE), path)


def write_one_volume(path):
    nibabel.save(nibabel.Nifti1Image(VOXELS[..., None], AFFINE), path)


def write_extension(path):
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nibabel.save(image, path)


def write_spacing_of_zero(path):
    nibabel.save(nibabel.Nifti1Image(VOXELS, None), path)
    content = bytearray(path.read_bytes())
    content[80:84] = bytes(4)  # pixdim[1]
    path.write_bytes(content)


def write_itk(path):
    image = SimpleITK.GetImageFromArray(VOXELS)
    image.SetSpacing((1.5, 2, 3))
    SimpleITK.WriteImage(image, str(path))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.nii", lambda path: nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), path)),
        ("a.nii.gz", lambda path: nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), path)),
        ("a.nii.gz", write_nifti_2),
        ("a.nii", write_one_volume),
        ("a.nii", write_extension),
        ("a.nrrd", write_itk),
    ],
)
def test_geometry_is_that_of_the_whole_image(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    whole, alone = open_image(path).geometry, read_geometry(path)
    assert (alone.shape, alone.ras_shape, alone.ras_spacing) == (whole.shape, whole.ras_shape, whole.ras_spacing)
    np.testing.assert_array_equal(alone.affine, whole.affine)


def test_upper_case_is_read_as_well(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), tmp_path / "a.nii")
    shutil.move(tmp_path / "a.nii", tmp_path / "a.NII")
    assert read_geometry(tmp_path / "a.NII").shape == (4, 5, 6)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"no image"),
        lambda path: path.write_bytes(b""),
        lambda path: path.mkdir(),
        lambda path: None,
        lambda path: nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2), np.int16), AFFINE), path),
        lambda path: nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.complex64), AFFINE), path),
        write_spacing_of_zero,
    ],
)
def test_what_cannot_be_opened_is_told_in_the_same_words(tmp_path, write):
    path = tmp_path / "a.nii"
    write(path)
    with pytest.raises(HermesError) as whole:
        open_image(path)
    with pytest.raises(HermesError) as alone:
        read_geometry(path)
    assert str(alone.value) == str(whole.value)
