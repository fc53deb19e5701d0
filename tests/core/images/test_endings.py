import pytest

from hermes_nnunet.core.images.endings import split_ending


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a_0000.nii.gz", ("a_0000", ".nii.gz")),
        ("a.NII.GZ", ("a", ".NII.GZ")),
        ("a.nii.GZ", ("a", ".nii.GZ")),
        ("a.1.nii", ("a.1", ".nii")),
        ("a.Nrrd", ("a", ".Nrrd")),
        ("a.mha", ("a", ".mha")),
        ("a.gipl", ("a", ".gipl")),
        ("a.mhd", None),
        ("a.gz", None),
        (".nii", None),
    ],
)
def test_name_of_an_image_has_two_parts(name, parts):
    assert split_ending(name) == parts
