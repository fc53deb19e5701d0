import nibabel
import numpy as np
import pytest

from hermes_nnunet.prediction.views.segmentations import own_written_values, write_own_segmentations


def test_values_are_those_that_the_member_writes(collection):
    assert own_written_values(collection.members["abdomen"], collection) == {1: 2, 2: 1}
    assert own_written_values(collection.members["brain"], collection) == {3: 1, 4: 2}


@pytest.mark.parametrize(
    ("name", "case", "ending", "expected"), [("abdomen", "c", ".nii.gz", [0, 2, 1]), ("brain", "y", ".nii", [0, 1, 2])]
)
def test_segmentations_get_the_members_values_names_and_geometry(collection, tmp_path, name, case, ending, expected):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    affine = np.diag([-1.5, -2.0, 3.0, 1.0])
    for member, values in {"abdomen__c": [0, 1, 2], "brain__y": [0, 3, 4]}.items():
        voxels = np.array(values, np.uint8).reshape(3, 1, 1)
        nibabel.save(nibabel.Nifti1Image(voxels, affine), source / f"{member}.nii.gz")
    write_own_segmentations(source, target, collection.members[name], collection)
    (written,) = target.iterdir()
    assert written.name == f"{case}{ending}"
    segmentation = nibabel.load(written)
    assert np.asarray(segmentation.dataobj).ravel().tolist() == expected
    assert np.array_equal(segmentation.affine, affine)
