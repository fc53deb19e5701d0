import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

INFO = "ED: 1\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"


@pytest.fixture
def acdc(source):
    """Patients 1, 2, 3 for training and 101 for testing; frame 1 is end-diastole, the other end-systole."""
    for number, part in ((1, "training"), (2, "training"), (3, "training"), (101, "testing")):
        folder = f"database/{part}/patient{number:03d}"
        es = 9 + number % 3
        for frame in (1, es):
            source.image(f"{folder}/patient{number:03d}_frame{frame:02d}.nii.gz")
            source.label(f"{folder}/patient{number:03d}_frame{frame:02d}_gt.nii.gz", [0, 1, 2, 3, frame % 4])
        source.image(f"{folder}/patient{number:03d}_4d.nii.gz", shape=(6, 5, 4, 3))
        (source.path / folder / "Info.cfg").write_text(INFO.format(es=es))
    return source


class TestFrames:
    def test_are_named_by_their_phase_and_follow_the_sets_own_parts(self, acdc, converted):
        result = converted("acdc", link=True)
        assert result.folder.name == "Dataset011_ACDC"
        assert result.names("labelsTr") == [
            f"patient{number:03d}_{phase}.nii.gz" for number in (1, 2, 3) for phase in ("ED", "ES")
        ]
        assert result.names("labelsTs") == ["patient101_ED.nii.gz", "patient101_ES.nii.gz"]
        folder = acdc.path / "database/training/patient002"
        assert (result.folder / "imagesTr/patient002_ES_0000.nii.gz").resolve() == folder / "patient002_frame11.nii.gz"
        np.testing.assert_array_equal(
            result.voxels("labelsTr/patient002_ED.nii.gz"), np.resize([0, 1, 2, 3, 1], (6, 5, 4))
        )

    def test_of_the_first_release_have_no_labels_for_testing(self, acdc, converted):
        for path in (acdc.path / "database/testing").rglob("*_gt.nii.gz"):
            path.unlink()
        result = converted("acdc")
        assert result.names("imagesTs") == ["patient101_ED_0000.nii.gz", "patient101_ES_0000.nii.gz"]
        assert result.names("labelsTs") == []
        (acdc.path / "database/training/patient001/patient001_frame01_gt.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case patient001_ED: .*patient001_frame01_gt\.nii\.gz is missing"):
            converted("acdc", 12)

    def test_of_a_patient_stay_together_in_folds(self, acdc, converted):
        folds = converted("acdc").json("splits_final.json")
        assert len(folds) == 3
        assert sorted(name for fold in folds for name in fold["val"]) == [
            f"patient{number:03d}_{phase}" for number in (1, 2, 3) for phase in ("ED", "ES")
        ]
        for fold in folds:
            assert {name[:10] for name in fold["train"]}.isdisjoint(name[:10] for name in fold["val"])

    def test_are_labelled_as_published(self, acdc, converted):
        labels = converted("acdc").json("dataset.json")["labels"]
        assert labels == {"background": 0, "right_ventricle": 1, "myocardium": 2, "left_ventricle": 3}


class TestBadSource:
    def test_patient_without_info_is_told(self, acdc, converted):
        (acdc.path / "database/training/patient002/Info.cfg").unlink()
        with pytest.raises(HermesError, match=r"case patient002_ED: .*Info\.cfg does not say which frame ED is"):
            converted("acdc")

    def test_missing_frame_is_told(self, acdc, converted):
        (acdc.path / "database/training/patient002/patient002_frame11_gt.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case patient002_ES: .*patient002_frame11_gt\.nii\.gz is missing"):
            converted("acdc")

    def test_unknown_value_is_told(self, acdc, converted):
        acdc.label("database/testing/patient101/patient101_frame01_gt.nii.gz", [0, 4])
        with pytest.raises(HermesError, match=r"case patient101_ED: .*holds the values 4, known are 0, 1, 2, 3"):
            converted("acdc")

    def test_empty_folder_is_told(self, source, converted):
        with pytest.raises(HermesError, match="holds no training/patient001"):
            converted("acdc")
