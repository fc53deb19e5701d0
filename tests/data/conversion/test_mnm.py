import numpy as np
import pytest
import SimpleITK

from hermes_nnunet.errors import HermesError

TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
FRAMES = 6
# Of the paper's training, validation and test list, and one without labels.
PATIENTS = {"A4B5U4": (0, 3), "G2J1M5": (5, 2), "K3R0Y7": (1, 4), "A1B2C3": (0, 1)}


def cine(patient: str) -> np.ndarray:
    """Voxels (X, Y, Z, time)."""
    return np.random.default_rng(sum(patient.encode())).integers(0, 900, (6, 5, 4, FRAMES)).astype(np.int16)


def labels(frames) -> np.ndarray:
    """Label values at the two frames only, other ones at each."""
    voxels = np.zeros((6, 5, 4, FRAMES), np.uint8)
    for shift, frame in enumerate(frames):
        voxels[..., frame] = (np.resize(range(4), (6, 5, 4)) + shift) % 4
    return voxels


@pytest.fixture
def mnm(source, affines):
    """The three parts of the set, all of oblique images, and its table."""
    parts = ("Training/Labeled", "Validation", "Testing", "Training/Unlabeled")
    for (patient, frames), part in zip(PATIENTS.items(), parts, strict=True):
        source.write(f"{part}/{patient}/{patient}_sa.nii.gz", cine(patient), affines["oblique"])
        if part != "Training/Unlabeled":
            source.write(f"{part}/{patient}/{patient}_sa_gt.nii.gz", labels(frames), affines["oblique"])
    write_table(source, {**PATIENTS, "A1B2C3": ("", "")})
    return source


def write_table(source, frames) -> None:
    lines = ["\ufeff,External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"]
    lines += [
        f"{row},{patient},Siemens,A,1,{ed},{es},50,NOR,M,170,70"
        for row, (patient, (ed, es)) in enumerate(frames.items())
    ]
    (source.path / TABLE).write_text("\r\n".join(lines), encoding="utf-8")


class TestPhases:
    def test_are_two_cases_of_a_patient_in_the_papers_parts(self, mnm, converted):
        result = converted("mnm")
        assert result.folder.name == "Dataset011_MnMs"
        assert result.names("imagesTr") == [
            *("A4B5U4_ED_0000.nii.gz", "A4B5U4_ES_0000.nii.gz", "G2J1M5_ED_0000.nii.gz", "G2J1M5_ES_0000.nii.gz")
        ]
        assert result.names("labelsTs") == ["K3R0Y7_ED.nii.gz", "K3R0Y7_ES.nii.gz"]
        assert result.json("splits_final.json") == [
            {"train": ["A4B5U4_ED", "A4B5U4_ES"], "val": ["G2J1M5_ED", "G2J1M5_ES"]}
        ]

    def test_are_the_frames_of_the_table_counted_from_0(self, mnm, converted):
        result = converted("mnm")
        for patient, part in (("A4B5U4", "Tr"), ("G2J1M5", "Tr"), ("K3R0Y7", "Ts")):
            for phase, frame in zip(("ED", "ES"), PATIENTS[patient], strict=True):
                voxels = result.voxels(f"images{part}/{patient}_{phase}_0000.nii.gz")
                np.testing.assert_array_equal(voxels, cine(patient)[..., frame])
                label = result.voxels(f"labels{part}/{patient}_{phase}.nii.gz")
                np.testing.assert_array_equal(label, labels(PATIENTS[patient])[..., frame])

    def test_keep_place_and_direction(self, mnm, converted, affines):
        result = converted("mnm")
        np.testing.assert_array_equal(result.affine("imagesTr/A4B5U4_ES_0000.nii.gz"), affines["oblique"])
        image, label = (
            SimpleITK.ReadImage(str(result.folder / name))
            for name in ("imagesTr/A4B5U4_ES_0000.nii.gz", "labelsTr/A4B5U4_ES.nii.gz")
        )
        assert image.GetSpacing() == pytest.approx((0.8, 0.9, 2.5), abs=1e-6)
        place = affines["oblique"] @ (3, 2, 1, 1)
        assert label.TransformIndexToPhysicalPoint((3, 2, 1)) == pytest.approx(
            (-place[0], -place[1], place[2]), abs=1e-4
        )

    def test_of_all_patients_can_be_for_training(self, mnm, converted):
        folds = converted("mnm", all_training=True).json("splits_final.json")
        assert len(folds) == 3
        for fold in folds:
            assert {name[:6] for name in fold["train"]}.isdisjoint(name[:6] for name in fold["val"])

    def test_are_labelled_ventricles_and_myocardium(self, mnm, converted):
        content = converted("mnm").json("dataset.json")
        assert content["labels"] == {"background": 0, "left_ventricle": 1, "myocardium": 2, "right_ventricle": 3}
        assert content["channel_names"] == {"0": "cineMRI"}


class TestBadSource:
    def test_missing_label_is_told(self, mnm, converted):
        (mnm.path / "Validation/G2J1M5/G2J1M5_sa_gt.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case G2J1M5_ED: .*G2J1M5_sa\.nii\.gz has no label beside it"):
            converted("mnm")

    def test_patient_without_frames_in_the_table_is_told(self, mnm, converted):
        write_table(mnm, {name: frames for name, frames in PATIENTS.items() if name != "G2J1M5"})
        with pytest.raises(
            HermesError, match=r"case G2J1M5_ED: the set's table .* has no line with its frames ED and ES"
        ):
            converted("mnm")

    def test_frame_beyond_the_last_is_told(self, mnm, converted):
        write_table(mnm, {**PATIENTS, "G2J1M5": (5, 6)})
        with pytest.raises(HermesError, match=r"case G2J1M5_ES: .*has shape \(6, 5, 4, 6\), and no volume 6"):
            converted("mnm")

    def test_frame_without_labels_is_told(self, mnm, converted):
        write_table(mnm, {**PATIENTS, "G2J1M5": (5, 3)})
        with pytest.raises(HermesError, match=r"case G2J1M5_ES: .* labels nothing"):
            converted("mnm")

    def test_truncated_image_is_told(self, mnm, converted):
        path = mnm.path / "Testing/K3R0Y7/K3R0Y7_sa.nii.gz"
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(HermesError, match=r"case K3R0Y7_ED: .*K3R0Y7_sa\.nii\.gz cannot be read"):
            converted("mnm")

    def test_missing_table_is_told(self, mnm, converted):
        (mnm.path / TABLE).unlink()
        with pytest.raises(HermesError, match=r"must hold the set's one table .*found none"):
            converted("mnm")

    def test_empty_folder_is_told(self, source, converted):
        with pytest.raises(HermesError, match=r"holds no Training/Labeled/A0S9V9/A0S9V9_sa\.nii\.gz"):
            converted("mnm")
