import numpy as np
import pytest

from hermes_nnunet.errors import HermesError


@pytest.fixture
def amos22(source):
    """CT and MR cases of the paper's three parts, and test cases without label."""
    # train, val, test of CT; the same of MR
    source.pairs((70, 212, 553, 518), "imagesTr/amos_{:04d}.nii.gz", "labelsTr/amos_{:04d}.nii.gz", range(16))
    source.pairs((13, 588), "imagesVa/amos_{:04d}.nii.gz", "labelsVa/amos_{:04d}.nii.gz", range(16))
    source.image("imagesTs/amos_0002.nii.gz")
    source.image("imagesTs/amos_0501.nii.gz")
    return source


class TestAmosCt:
    def test_takes_the_ids_below_500(self, amos22, converted):
        result = converted("amos_ct")
        assert result.folder.name == "Dataset011_AMOS_CT"
        assert result.names("imagesTr") == ["amos_0070_0000.nii.gz", "amos_0212_0000.nii.gz"]
        assert result.names("imagesTs") == ["amos_0002_0000.nii.gz", "amos_0013_0000.nii.gz"]
        assert result.names("labelsTs") == ["amos_0013.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["amos_0070"], "val": ["amos_0212"]}]

    def test_has_15_organs(self, amos22, converted):
        result = converted("amos_ct")
        assert result.json("dataset.json")["labels"]["prostate_or_uterus"] == 15
        assert np.unique(result.voxels("labelsTr/amos_0070.nii.gz")).tolist() == list(range(16))

    def test_of_a_folder_without_ct_is_refused(self, source, converted):
        source.pairs((553,), "imagesTr/amos_{:04d}.nii.gz", "labelsTr/amos_{:04d}.nii.gz", range(16))
        with pytest.raises(HermesError, match=r"holds no imagesTr/amos_NNNN\.nii\.gz of this modality"):
            converted("amos_ct")


class TestAmosMr:
    def test_takes_the_ids_from_500_on(self, amos22, converted):
        result = converted("amos_mr")
        assert result.folder.name == "Dataset011_AMOS_MR"
        assert result.names("imagesTr") == ["amos_0518_0000.nii.gz", "amos_0553_0000.nii.gz"]
        assert result.names("imagesTs") == ["amos_0501_0000.nii.gz", "amos_0588_0000.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["amos_0553"], "val": ["amos_0518"]}]
        assert result.json("dataset.json")["channel_names"] == {"0": "MRI"}

    def test_leaves_out_bladder_and_prostate_or_uterus(self, amos22, converted):
        result = converted("amos_mr")
        labels = result.json("dataset.json")["labels"]
        assert list(labels)[-1] == "duodenum"
        assert labels["duodenum"] == 13
        published = np.resize(range(16), (6, 5, 4))
        np.testing.assert_array_equal(
            result.voxels("labelsTr/amos_0553.nii.gz"), np.where(published > 13, 0, published)
        )


class TestAmos22:
    def test_is_the_release_with_its_validation_part_as_fold(self, amos22, converted):
        result = converted("amos22")
        numbers = (70, 212, 518, 553)
        assert result.json("splits_final.json") == [
            {"train": [f"amos_{number:04d}" for number in numbers], "val": ["amos_0013", "amos_0588"]}
        ]
        assert result.names("imagesTs") == ["amos_0002_0000.nii.gz", "amos_0501_0000.nii.gz"]
        assert len(result.json("dataset.json")["labels"]) == 16
        np.testing.assert_array_equal(result.voxels("labelsTr/amos_0588.nii.gz"), np.resize(range(16), (6, 5, 4)))
        assert result.result.missing == []

    def test_has_the_organs_of_the_ct_images(self, converted):
        from hermes_nnunet.data.conversion.registry import find_converter

        assert find_converter("amos22").labels == find_converter("amos_ct").labels
