import pytest

from hermes_nnunet.errors import HermesError

IMAGE, LABEL = "data/case_{:05d}/imaging.nii.gz", "data/case_{:05d}/segmentation.nii.gz"


class TestKits:
    def test_is_converted_from_the_repositorys_folder(self, source, converted):
        source.pairs((0, 1, 10), IMAGE, LABEL, range(3))
        source.image(IMAGE.format(210))
        result = converted("kits")
        assert result.json("splits_final.json") == [{"train": ["case_00000"], "val": ["case_00001"]}]
        assert result.names("imagesTs") == ["case_00010_0000.nii.gz", "case_00210_0000.nii.gz"]
        assert result.names("labelsTs") == ["case_00010.nii.gz"]
        assert result.json("dataset.json")["labels"] == {"background": 0, "kidney": 1, "tumor": 2}

    def test_tells_of_a_training_case_without_label(self, source, converted):
        source.pairs((0, 1), IMAGE, LABEL, range(3))
        source.image(IMAGE.format(2))
        with pytest.raises(HermesError, match=r"^case case_00002: .*imaging\.nii\.gz has no label beside it"):
            converted("kits")

    @pytest.mark.parametrize(
        "later",
        ["case_00000/aggregated_MAJ_seg.nii.gz", "case_00001/instances/kidney_instance-1_annotation-1.nii.gz"],
    )
    def test_points_to_the_converter_of_later_releases(self, source, converted, raw, later):
        source.pairs((0, 1), IMAGE, LABEL, range(3))
        source.label(f"data/{later}", [1])
        with pytest.raises(HermesError, match=r"is of KiTS21 or KiTS23, .* use 'hermes_nnunet convert kits23'"):
            converted("kits")
        assert not list(raw.iterdir())

    def test_refuses_the_cysts_of_later_releases(self, source, converted):
        source.pairs((0, 1), IMAGE, LABEL, range(4))
        with pytest.raises(HermesError, match=r"segmentation\.nii\.gz holds the values 3, known are 0, 1, 2"):
            converted("kits")
