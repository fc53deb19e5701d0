import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

IMAGE, LABEL = "RawData/Training/img/05{:05d}-Image.nii.gz", "RawData/Training/label/05{:05d}-Mask.nii.gz"


class TestBtcvCervix:
    def test_has_its_tests_without_label(self, source, converted):
        source.pairs((7688, 7689), IMAGE, LABEL, range(5))
        source.image("RawData/Testing/img/0507401-Image.nii.gz")
        result = converted("btcv_cervix")
        assert result.names("labelsTr") == ["cervix_0507688.nii.gz", "cervix_0507689.nii.gz"]
        assert result.names("imagesTs") == ["cervix_0507401_0000.nii.gz"]
        labels = result.json("dataset.json")["labels"]
        assert labels == {"background": 0, "bladder": 1, "uterus": 2, "rectum": 3, "small_bowel": 4}
        label = result.voxels("labelsTr/cervix_0507688.nii.gz")
        np.testing.assert_array_equal(label, np.resize(range(5), (6, 5, 4)))

    def test_training_image_without_label_is_told(self, source, converted):
        source.pairs((7688, 7689), IMAGE, LABEL, range(5))
        source.image(IMAGE.format(1))
        with pytest.raises(HermesError, match=r"case cervix_0500001: .*0500001-Image\.nii\.gz has no label beside it"):
            converted("btcv_cervix")
