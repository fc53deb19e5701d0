import numpy as np
import pytest

IMAGE = "dataset/case_{:05d}/imaging.nii.gz"


class TestKits23:
    @pytest.mark.parametrize("label", ["segmentation", "aggregated_MAJ_seg"])
    def test_has_cysts_and_folds_of_our_own(self, source, converted, label):
        numbers = (0, 1, 299, 400, 588)
        source.pairs(numbers, IMAGE, f"dataset/case_{{:05d}}/{label}.nii.gz", range(4))
        source.label("dataset/case_00000/instances/kidney_instance-1_annotation-1.nii.gz", [1])
        result = converted("kits23")
        assert result.folder.name == "Dataset011_KiTS23"
        assert result.names("labelsTr") == [f"case_{number:05d}.nii.gz" for number in numbers]
        assert result.json("dataset.json")["labels"] == {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3}
        np.testing.assert_array_equal(result.voxels("labelsTr/case_00400.nii.gz"), np.resize(range(4), (6, 5, 4)))
        assert len(result.json("splits_final.json")) == 5
        assert len(result.result.missing) == 484
