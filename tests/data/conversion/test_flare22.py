import numpy as np


class TestFlare22:
    def test_is_converted_with_its_validation_images_for_testing(self, source, converted):
        numbers = range(1, 6)
        folder = "FLARE22Train/FLARE22Train"
        image, label = (
            f"{folder}/{part}.nii.gz" for part in ("images/FLARE22_Tr_{:04d}_0000", "labels/FLARE22_Tr_{:04d}")
        )
        source.pairs(numbers, image, label, range(14))
        source.image("Validation/FLARETs_0001_0000.nii.gz")
        result = converted("flare22")
        assert result.names("imagesTr") == [f"FLARE22_Tr_{number:04d}_0000.nii.gz" for number in numbers]
        assert result.names("imagesTs") == ["FLARETs_0001_0000.nii.gz"]
        labels = result.json("dataset.json")["labels"]
        assert (labels["liver"], labels["spleen"], labels["gallbladder"], labels["left_kidney"]) == (1, 3, 9, 13)
        label = result.voxels("labelsTr/FLARE22_Tr_0003.nii.gz")
        np.testing.assert_array_equal(label, np.resize(range(14), (6, 5, 4)))
        assert len(result.result.missing) == 45
