import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet.data.conversion.converting import convert
from hermes_nnunet.data.conversion.registry import find_converter
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError

OBLIQUE = ((0.96, 0.28, 0.0), (-0.0672, 0.2304, -0.9707728879))
GREY = np.array([0, 63, 126, 189, 252])
PATIENTS = ("20", "22", "5")
T1, T2 = 5, 4


def masks(patient: str, slices: int) -> np.ndarray:
    """Label values 0 to 4 (slices, rows, columns), different for every slice."""
    return np.random.default_rng(int(patient) + slices).integers(0, 5, (slices, 8, 6)).astype(np.uint8)


def _seed(patient: str, image: int) -> int:
    return 10 * int(patient) + image


def write_masks(folder, values: np.ndarray, names) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for plane, name in zip(values, names, strict=True):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(GREY[plane].astype(np.uint8)), str(folder / f"{name}.png"))


@pytest.fixture
def patient(tmp_path, dicom, noise):
    """A patient in the published layout: slices from head to feet, numbered in no order of theirs."""

    def call(number: str, part: str = "Train_Sets") -> None:
        folder = tmp_path / "source" / part / "MR" / number
        order = np.random.default_rng(int(number)).permutation(T1)
        common = {"modality": "MR", "orientation": OBLIQUE, "step": -5.5, "uid": "1.2.3"}
        for phase, first, seed in (("InPhase", 2, 1), ("OutPhase", 1, 2)):
            names = [f"IMG-0004-{first + 2 * index:05d}.dcm" for index in order]
            dicom.series(
                folder / "T1DUAL/DICOM_anon" / phase, noise((T1, 8, 6), _seed(number, seed)), names=names, **common
            )
        t2 = [f"IMG-0002-{index + 1:05d}" for index in (2, 0, 3, 1)]
        dicom.series(
            folder / "T2SPIR/DICOM_anon",
            noise((T2, 8, 6), _seed(number, 3)),
            names=[f"{name}.dcm" for name in t2],
            **common,
        )
        if part == "Train_Sets":
            in_phase = [f"IMG-0004-{2 + 2 * index:05d}" for index in order]
            write_masks(folder / "T1DUAL/Ground", masks(number, T1), in_phase)
            write_masks(folder / "T2SPIR/Ground", masks(number, T2), t2)

    return call


@pytest.fixture
def run(tmp_path, raw, patient):
    def call(patients=PATIENTS, **arguments):
        for number in patients:
            if not (tmp_path / "source" / "Train_Sets" / "MR" / number).exists():
                patient(number)
        return convert(find_converter("chaos"), tmp_path / "source", 38, **{"processes": 1, **arguments})

    return call


class TestImages:
    def test_are_not_those_that_macos_leaves(self, run, patient, tmp_path):
        for number in PATIENTS:
            patient(number)
        for path in [*(tmp_path / "source").rglob("*.dcm"), *(tmp_path / "source").rglob("*.png")]:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        assert len(list((run().folder / "imagesTr").iterdir())) == 6

    def test_of_a_patient_are_three_with_the_masks_of_their_slices(self, run, noise):
        folder = run().folder
        for name, part, slices, seed in (("20_t1in", "Tr", T1, 1), ("20_t1out", "Tr", T1, 2), ("5_t2", "Ts", T2, 3)):
            image = nibabel.load(folder / f"images{part}" / f"{name}_0000.nii.gz")
            label = nibabel.load(folder / f"labels{part}" / f"{name}.nii.gz")
            # Written from the last slice along the normal to the first.
            expected = noise((slices, 8, 6), _seed(name.partition("_")[0], seed)).transpose(2, 1, 0)[..., ::-1]
            np.testing.assert_array_equal(np.asanyarray(image.dataobj), expected)
            expected = masks(name.partition("_")[0], slices).transpose(2, 1, 0)[..., ::-1]
            np.testing.assert_array_equal(np.asanyarray(label.dataobj), expected)
            np.testing.assert_array_equal(image.affine, label.affine)

    def test_have_masks_that_are_called_like_either_phase(self, run, patient, tmp_path):
        patient("20")
        ground = tmp_path / "source/Train_Sets/MR/20/T1DUAL/Ground"
        for mask in ground.iterdir():
            out_of_phase = int(mask.stem[-5:]) - 1
            mask.rename(mask.with_name(f"IMG-0004-{out_of_phase:05d}.png"))
        folder = run().folder
        expected = masks("20", T1).transpose(2, 1, 0)[..., ::-1]
        for name in ("20_t1in", "20_t1out"):
            label = nibabel.load(folder / "labelsTr" / f"{name}.nii.gz")
            np.testing.assert_array_equal(np.asanyarray(label.dataobj), expected)

    def test_keep_place_and_direction(self, run):
        path = run().folder / "imagesTr" / "20_t1out_0000.nii.gz"
        image = SimpleITK.ReadImage(str(path))
        np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3))[:, :2].T, OBLIQUE, atol=1e-6)
        np.testing.assert_allclose(image.GetSpacing(), (1.5, 2.0, 5.5), atol=1e-6)
        # The first slice that was written is the last along the normal.
        assert image.TransformIndexToPhysicalPoint((0, 0, T1 - 1)) == pytest.approx((-20, -30, 40), abs=1e-4)

    def test_follow_the_papers_patients(self, run):
        result = run()
        assert sorted(case.name for case in result.parts.train) == [
            f"{number}_{image}" for number in ("20", "22") for image in ("t1in", "t1out", "t2")
        ]
        assert result.folds[0]["val"] == ["22_t1in", "22_t1out", "22_t2"]
        assert {case.patient for case in result.parts.test} == {"5"}
        assert "2" in result.missing

    def test_of_the_sets_test_part_have_no_labels(self, run, patient):
        patient("11", "Test_Sets")
        result = run()
        assert (result.folder / "imagesTs" / "11_t2_0000.nii.gz").is_file()
        assert not (result.folder / "labelsTs" / "11_t2.nii.gz").exists()

    def test_are_not_written_again(self, run):
        assert run().written == 9
        assert run().written == 0

    def test_merge_by_their_modality(self, run):
        run()
        member = MemberSpecification(
            38, {"T1": "_t1(in|out)$", "T2": "_t2$"}, name="chaos", patient_pattern=r"^\d+", labels={"spleen": None}
        )
        result = merge(MergeSpecification(name="All", into=900, members=(member,)), processes=1)
        assert result.collection.cases["chaos__20_t1out"].modality == "T1"
        assert result.collection.cases["chaos__20_t2"].modality == "T2"
        assert result.fold_origins == {"chaos": "raw"}


@pytest.mark.end_to_end
def test_nnunet_accepts_the_set(run):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    verify_dataset_integrity(str(run().folder), 1)


def test_grey_values_within_the_sets_own_bounds_are_those_of_the_organ(run, patient, tmp_path):
    patient("20")
    folder = tmp_path / "source/Train_Sets/MR/20/T2SPIR"
    grey = np.resize([56, 69, 111, 134, 176, 199, 241, 254], (8, 6)).astype(np.uint8)
    for mask in (folder / "Ground").iterdir():
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(grey), str(mask))
    label = nibabel.load(run().folder / "labelsTr" / "20_t2.nii.gz")
    expected = np.resize([1, 1, 2, 2, 3, 3, 4, 4], (8, 6)).T
    np.testing.assert_array_equal(np.asanyarray(label.dataobj)[..., 0], expected)


class TestBadPatients:
    def told(self, run) -> str:
        with pytest.raises(HermesError) as error:
            run()
        return str(error.value)

    @pytest.fixture
    def mr(self, tmp_path, patient):
        for number in PATIENTS:
            patient(number)
        return tmp_path / "source" / "Train_Sets" / "MR"

    def test_missing_mask_is_told(self, mr, run):
        (mr / "20/T2SPIR/Ground/IMG-0002-00003.png").unlink()
        assert "case 20_t2: " in (message := self.told(run))
        assert "IMG-0002-00003.png is missing" in message

    def test_mask_without_slice_is_told(self, mr, run):
        mask = mr / "20/T2SPIR/Ground/IMG-0002-00003.png"
        mask.rename(mask.with_name("IMG-0002-00009.png"))
        assert "IMG-0002-00009.png is a mask without a slice of its name" in self.told(run)

    def test_missing_phase_is_told(self, mr, run):
        for path in (mr / "20/T1DUAL/DICOM_anon/OutPhase").iterdir():
            path.unlink()
        message = self.told(run)
        assert "case 20_t1out: " in message
        assert "T1DUAL has no slices (*.dcm) for it" in message

    def test_phases_at_different_places_are_told(self, mr, run, dicom, noise):
        folder = mr / "20/T1DUAL/DICOM_anon/OutPhase"
        names = [path.name for path in folder.iterdir()]
        dicom.series(
            folder,
            noise((T1, 8, 6)),
            names=names,
            modality="MR",
            orientation=OBLIQUE,
            position=(-21, -30, 40),
            step=5.5,
        )
        message = self.told(run)
        assert "case 20_t1out: " in message
        assert "off the grid of" in message

    def test_two_slices_at_one_position_are_told(self, mr, run):
        folder = mr / "20/T2SPIR"
        first = (folder / "DICOM_anon/IMG-0002-00001.dcm").read_bytes()
        (folder / "DICOM_anon/IMG-0002-00009.dcm").write_bytes(first[:-2] + bytes(byte ^ 1 for byte in first[-2:]))
        (folder / "Ground/IMG-0002-00009.png").write_bytes((folder / "Ground/IMG-0002-00001.png").read_bytes())
        assert "lie at the same position" in self.told(run)

    def test_unknown_grey_value_is_told(self, mr, run):
        mask = np.full((8, 6), 63, np.uint8)
        mask[3, 2] = 90
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask), str(mr / "20/T2SPIR/Ground/IMG-0002-00001.png"))
        message = self.told(run)
        assert "holds the values 90, known are 0, 63, 126, 189, 252" in message

    def test_mask_of_another_size_is_told(self, mr, run):
        image = SimpleITK.GetImageFromArray(np.zeros((8, 7), np.uint8))
        SimpleITK.WriteImage(image, str(mr / "20/T2SPIR/Ground/IMG-0002-00001.png"))
        assert "IMG-0002-00001.png has (8, 7) grey pixels, its slice (8, 6)" in self.told(run)

    def test_empty_folder_is_told(self, raw, tmp_path):
        (tmp_path / "source").mkdir()
        with pytest.raises(HermesError, match="holds no MR/1/T1DUAL and MR/1/T2SPIR"):
            convert(find_converter("chaos"), tmp_path / "source", 38)
