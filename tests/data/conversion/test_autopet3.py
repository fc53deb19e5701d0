import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

STUDIES = (
    "fdg_0011f3deaf_03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-10445",
    "fdg_0011f3deaf_06-01-2004-NA-PET-CT Ganzkoerper-1",
    "psma_95b833d65be26d9f_2018-04-23",
)


@pytest.fixture
def autopet3(source):
    for study in STUDIES:
        for number in ("0000", "0001"):
            source.image(f"imagesTr/{study}_{number}.nii.gz", dtype=np.float32)
        source.label(f"labelsTr/{study}.nii.gz", [0] if "psma" in study else [0, 1])
    return source


class TestAutopet3:
    def test_is_pet_with_patients_kept_together(self, autopet3, converted):
        result = converted("autopet3", link=True)
        names = [
            "fdg_0011f3deaf_03-23-2003-NA-PET-CT-Ganzkoerper-primaer-mit-KM-10445",
            "fdg_0011f3deaf_06-01-2004-NA-PET-CT-Ganzkoerper-1",
            "psma_95b833d65be26d9f_2018-04-23",
        ]
        assert result.names("imagesTr") == [f"{name}_0000.nii.gz" for name in names]
        published = autopet3.path / f"imagesTr/{STUDIES[0]}_0001.nii.gz"
        assert (result.folder / f"imagesTr/{names[0]}_0000.nii.gz").resolve() == published
        assert result.json("dataset.json")["channel_names"] == {"0": "PET"}
        assert not result.voxels(f"labelsTr/{names[2]}.nii.gz").any()
        assert {frozenset(fold["val"]) for fold in result.json("splits_final.json")} == {
            frozenset(names[:2]),
            frozenset(names[2:]),
        }

    def test_has_ct_on_request(self, autopet3, converted):
        result = converted("autopet3", channels=["PET", "CT"])
        assert result.json("dataset.json")["channel_names"] == {"0": "PET", "1": "CT"}
        assert len(result.names("imagesTr")) == 6

    def test_study_without_pet_is_told(self, autopet3, converted):
        (autopet3.path / f"imagesTr/{STUDIES[2]}_0001.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case psma_95b833d65be26d9f_2018-04-23: .* has no PET \(_0001\)"):
            converted("autopet3")
