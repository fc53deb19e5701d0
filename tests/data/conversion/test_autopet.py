import os

import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

# Of the paper's training, validation and test list; the first has two studies, the later written first.
STUDIES = (
    ("PETCT_0410759456", "09-02-2005-PET-CT-20002"),
    ("PETCT_0410759456", "03-23-2003-PET-CT-10001"),
    ("PETCT_8aa48809ea", "01-01-2004-PET-CT-30003"),
    ("PETCT_36d8219e3f", "01-01-2004-PET-CT-40004"),
)
# Voxels of 2.04 x 2.04 x 3 mm in LPS.
AFFINE = np.diag([-2.0363, -2.0363, 3.0, 1.0]).astype(np.float32)


@pytest.fixture
def autopet(source):
    """Studies with PET, CT on its grid, the CT itself, and lesions in the first study of the list only."""
    for patient, study in STUDIES:
        folder = f"{patient}/{study}"
        values = [0, 1] if study.endswith("20002") else [0]
        source.write(f"{folder}/SUV.nii.gz", suv(study), AFFINE)
        source.image(f"{folder}/CTres.nii.gz", AFFINE, dtype=np.float64)
        source.image(f"{folder}/CT.nii.gz", shape=(9, 9, 9))
        source.label(f"{folder}/SEG.nii.gz", values, AFFINE)
    return source


def suv(study: str) -> np.ndarray:
    return np.random.default_rng(sum(study.encode())).gamma(2.0, 1.7, (6, 5, 4)).astype(np.float32)


class TestStudies:
    def test_are_numbered_by_their_folders(self, autopet, converted):
        result = converted("autopet")
        assert result.names("imagesTr") == [
            *("PETCT_0410759456_0_0000.nii.gz", "PETCT_0410759456_1_0000.nii.gz", "PETCT_8aa48809ea_0_0000.nii.gz")
        ]
        np.testing.assert_array_equal(result.voxels("imagesTr/PETCT_0410759456_0_0000.nii.gz"), suv(STUDIES[1][1]))
        assert result.names("labelsTs") == ["PETCT_36d8219e3f_0.nii.gz"]
        assert result.json("splits_final.json")[0]["val"] == ["PETCT_8aa48809ea_0"]

    def test_that_come_before_others_later_are_converted_with_these(self, autopet, converted, tmp_path):
        early = autopet.path / "/".join(STUDIES[1])
        early.rename(tmp_path / "early")
        for path in (autopet.path / "/".join(STUDIES[0])).iterdir():
            os.utime(path, (1500000000, 1500000000))
        converted("autopet")
        (tmp_path / "early").rename(early)
        for path in early.iterdir():
            os.utime(path, (1400000000, 1400000000))
        result = converted("autopet")
        for number, (_, study) in enumerate((STUDIES[1], STUDIES[0])):
            voxels = result.voxels(f"imagesTr/PETCT_0410759456_{number}_0000.nii.gz")
            np.testing.assert_array_equal(voxels, suv(study))
        assert result.voxels("labelsTr/PETCT_0410759456_1.nii.gz").sum() == 60
        assert result.result.replaced == ["PETCT_0410759456_0"]

    def test_keep_standardized_uptake_values_and_all_three_axes(self, autopet, converted):
        result = converted("autopet")
        voxels = result.voxels("imagesTr/PETCT_0410759456_1_0000.nii.gz")
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, suv(STUDIES[0][1]))
        np.testing.assert_array_equal(result.affine("imagesTr/PETCT_0410759456_1_0000.nii.gz"), AFFINE)
        assert voxels.shape == (6, 5, 4)

    def test_may_have_no_lesion(self, autopet, converted):
        result = converted("autopet")
        assert not result.voxels("labelsTr/PETCT_0410759456_0.nii.gz").any()
        assert result.voxels("labelsTr/PETCT_0410759456_1.nii.gz").sum() == 60

    def test_have_ct_as_a_second_channel_on_request(self, autopet, converted):
        assert converted("autopet").json("dataset.json")["channel_names"] == {"0": "PET"}
        result = converted("autopet", 12, channels=["PET", "CT"])
        assert result.json("dataset.json")["channel_names"] == {"0": "PET", "1": "CT"}
        assert "PETCT_8aa48809ea_0_0001.nii.gz" in result.names("imagesTr")

    def test_need_no_ct_unless_it_is_asked_for(self, autopet, converted):
        (autopet.path / "/".join(STUDIES[2]) / "CTres.nii.gz").unlink()
        assert len(converted("autopet").names("imagesTr")) == 3
        with pytest.raises(HermesError, match=r"case PETCT_8aa48809ea_0: .*CTres\.nii\.gz is missing"):
            converted("autopet", 12, channels=["PET", "CT"])

    def test_of_a_patient_stay_together_in_folds_of_all(self, autopet, converted):
        for fold in converted("autopet", all_training=True).json("splits_final.json"):
            assert {name[:-2] for name in fold["train"]}.isdisjoint(name[:-2] for name in fold["val"])


class TestBadSource:
    def test_missing_segmentation_is_told(self, autopet, converted):
        (autopet.path / "/".join(STUDIES[3]) / "SEG.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case PETCT_36d8219e3f_0: .*SEG\.nii\.gz is missing"):
            converted("autopet")

    def test_segmentation_on_another_third_axis_is_told(self, autopet, converted):
        other = AFFINE.copy()
        other[2, 2] = 1.5
        autopet.label("/".join((*STUDIES[3], "SEG.nii.gz")), [0, 1], other)
        with pytest.raises(HermesError, match=r"SEG\.nii\.gz lies 1.5 mm .* off the grid of"):
            converted("autopet")

    def test_empty_folder_is_told(self, source, converted):
        with pytest.raises(HermesError, match=r"holds no PETCT_0011f3deaf/<study>/SUV\.nii\.gz"):
            converted("autopet")
