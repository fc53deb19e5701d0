import pytest

from hermes_nnunet.errors import HermesError

# Of the paper's lists: train, train, val, test.
NUMBERS = (1, 2, 32, 6)


class TestBcv:
    @pytest.mark.parametrize("folder", ["", "RawData/Training/"])
    def test_is_converted_from_synapses_folders(self, source, converted, folder):
        source.pairs(NUMBERS, f"{folder}img/img{{:04d}}.nii.gz", f"{folder}label/label{{:04d}}.nii.gz", range(14))
        result = converted("bcv")
        assert result.folder.name == "Dataset011_BCV"
        assert result.names("imagesTr") == ["img0001_0000.nii.gz", "img0002_0000.nii.gz", "img0032_0000.nii.gz"]
        assert result.names("labelsTr") == ["img0001.nii.gz", "img0002.nii.gz", "img0032.nii.gz"]
        assert result.names("imagesTs") == ["img0006_0000.nii.gz"]
        assert result.names("labelsTs") == ["img0006.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["img0001", "img0002"], "val": ["img0032"]}]
        content = result.json("dataset.json")
        assert content["channel_names"] == {"0": "CT"}
        assert content["labels"] == {
            "background": 0,
            "spleen": 1,
            "right_kidney": 2,
            "left_kidney": 3,
            "gallbladder": 4,
            "esophagus": 5,
            "liver": 6,
            "stomach": 7,
            "aorta": 8,
            "inferior_vena_cava": 9,
            "portal_and_splenic_vein": 10,
            "pancreas": 11,
            "right_adrenal_gland": 12,
            "left_adrenal_gland": 13,
        }
        assert len(result.result.missing) == 26
        assert (result.voxels("labelsTr/img0001.nii.gz").ravel() <= 13).all()

    def test_has_its_tests_without_label(self, source, converted):
        source.pairs(NUMBERS, "RawData/Training/img/img{:04d}.nii.gz", "RawData/Training/label/label{:04d}.nii.gz", [1])
        for number in (61, 80):
            source.image(f"RawData/Testing/img/img{number:04d}.nii.gz")
        result = converted("bcv")
        assert result.names("imagesTs") == [f"img{number:04d}_0000.nii.gz" for number in (6, 61, 80)]
        assert result.names("labelsTs") == ["img0006.nii.gz"]

    def test_training_image_without_label_is_told(self, source, converted):
        source.pairs(NUMBERS, "img/img{:04d}.nii.gz", "label/label{:04d}.nii.gz", [1])
        source.image("img/img0003.nii.gz")
        with pytest.raises(HermesError, match=r"case img0003: .*img0003\.nii\.gz has no label beside it"):
            converted("bcv")

    def test_of_an_empty_folder_is_refused(self, source, converted):
        with pytest.raises(HermesError) as error:
            converted("bcv")
        assert str(error.value) == (
            f"{source.path} holds no label/label0001.nii.gz: give the folder that holds them ('hermes_nnunet convert "
            "--list')"
        )
