import numpy as np
import pytest

from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.errors import HermesError


@pytest.fixture
def word(source):
    """Two cases for training, one for validation, one for testing without its label."""
    for part, numbers in (("Tr", (2, 3)), ("Val", (1,))):
        names = (f"WORD-V0.1.0/{kind}{part}/word_{{:04d}}.nii.gz" for kind in ("images", "labels"))
        source.pairs(numbers, *names, range(17))
    source.image("WORD-V0.1.0/imagesTs/word_0007.nii.gz")
    return source


class TestWord:
    def test_follows_the_sets_own_folders(self, word, converted):
        result = converted("word")
        assert result.json("splits_final.json") == [{"train": ["word_0002", "word_0003"], "val": ["word_0001"]}]
        assert result.names("imagesTs") == ["word_0007_0000.nii.gz"]
        assert result.names("labelsTs") == []
        labels = result.json("dataset.json")["labels"]
        assert (labels["liver"], labels["left_kidney"], labels["right_head_of_femur"]) == (1, 3, 16)
        np.testing.assert_array_equal(result.voxels("labelsTr/word_0001.nii.gz"), np.resize(range(17), (6, 5, 4)))
        assert "training: 3 cases, the fold of the lists (fold 0: 2 train, 1 val)" in result_lines(result.result)
        assert result.result.missing == []

    def test_takes_the_labels_for_testing_where_they_are(self, word, converted):
        word.label("WORD-V0.1.0/labelsTs/word_0007.nii.gz", range(17))
        assert converted("word").names("labelsTs") == ["word_0007.nii.gz"]

    def test_is_all_for_training_on_request(self, word, converted):
        assert len(converted("word", all_training=True).json("splits_final.json")) == 3

    def test_image_or_label_without_the_other_is_told(self, word, converted):
        (word.path / "WORD-V0.1.0/imagesVal/word_0001.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case word_0001: .*labelsVal/word_0001\.nii\.gz has no image beside it"):
            converted("word")
