import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

NAMES = ("prostate_00", "prostate_01", "prostate_02")


@pytest.fixture
def task(source):
    """A function that writes a task: its dataset.json, three labelled cases and one without label."""

    def write(name="PROSTATE", modality=("T2", "ADC"), labels=("background", "PZ", "TZ"), changes=None):
        shape = (6, 5, 4, len(modality)) if len(modality) > 1 else (6, 5, 4)
        for case in NAMES:
            source.image(f"imagesTr/{case}.nii.gz", shape=shape, dtype=np.float32)
            source.label(f"labelsTr/{case}.nii.gz", range(len(labels)))
        source.image("imagesTs/prostate_03.nii.gz", shape=shape, dtype=np.float32)
        (source.path / "imagesTr/._prostate_00.nii.gz").write_bytes(b"of macOS")
        content = {
            "name": name,
            "modality": {str(number): word for number, word in enumerate(modality)},
            "labels": {str(number): word for number, word in enumerate(labels)},
            "release": "1.0 04/05/2018",
            "training": [
                {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in NAMES
            ],
            "test": ["./imagesTs/prostate_03.nii.gz"],
        }
        (source.path / "dataset.json").write_text(json.dumps({**content, **(changes or {})}))
        return source

    return write


class TestTask:
    def test_channels_become_files(self, task, converted):
        source = task()
        result = converted("msd_prostate")
        assert result.folder.name == "Dataset011_MSD_Prostate"
        assert result.names("imagesTs") == ["prostate_03_0000.nii.gz", "prostate_03_0001.nii.gz"]
        assert result.names("labelsTs") == []
        content = result.json("dataset.json")
        assert content["channel_names"] == {"0": "T2", "1": "ADC"}
        assert content["labels"] == {"background": 0, "PZ": 1, "TZ": 2}
        assert content["release"] == "1.0 04/05/2018"
        published = nibabel.load(source.path / "imagesTr/prostate_00.nii.gz")
        for channel in range(2):
            name = f"imagesTr/prostate_00_{channel:04d}.nii.gz"
            np.testing.assert_array_equal(result.voxels(name), np.asanyarray(published.dataobj)[..., channel])
            np.testing.assert_array_equal(result.affine(name), published.affine)

    def test_channels_are_chosen_by_name(self, task, converted):
        task()
        every, one = converted("msd_prostate", 11), converted("msd_prostate", 12, channels=["ADC"])
        assert one.json("dataset.json")["channel_names"] == {"0": "ADC"}
        assert len(one.names("imagesTr")) == 3
        np.testing.assert_array_equal(
            one.voxels("imagesTr/prostate_01_0000.nii.gz"), every.voxels("imagesTr/prostate_01_0001.nii.gz")
        )

    def test_has_folds_of_our_own(self, task, converted):
        task()
        folds = converted("msd_prostate").json("splits_final.json")
        assert len(folds) == 3
        assert sorted(case for fold in folds for case in fold["val"]) == list(NAMES)

    def test_any_is_told_by_its_dataset_json(self, task, converted):
        task("Hepatic Vessel", ("CT",), ("background", "Vessel", "Tumour"))
        result = converted("msd", link=True)
        assert result.folder.name == "Dataset011_MSD_Hepatic_Vessel"
        content = result.json("dataset.json")
        assert content["name"] == "Medical Segmentation Decathlon, Hepatic Vessel"
        assert content["channel_names"] == {"0": "CT"}
        assert content["labels"] == {"background": 0, "Vessel": 1, "Tumour": 2}
        assert (result.folder / "imagesTr/prostate_00_0000.nii.gz").is_symlink()

    def test_label_values_are_mapped_by_name_where_they_are_not_consecutive(self, task, converted):
        source = task("Odd", ("CT",), changes={"labels": {"0": "background", "4": "far", "2": "near"}})
        for case in NAMES:
            source.label(f"labelsTr/{case}.nii.gz", [0, 2, 4])
        result = converted("msd")
        assert result.json("dataset.json")["labels"] == {"background": 0, "near": 1, "far": 2}
        assert np.unique(result.voxels("labelsTr/prostate_00.nii.gz")).tolist() == [0, 1, 2]

    def test_may_lie_in_a_folder_in_the_one_that_is_given(self, task, converted, tmp_path):
        source = task()
        (tmp_path / "outer").mkdir()
        (tmp_path / "outer" / "__MACOSX").mkdir()
        source.path.rename(tmp_path / "outer" / "Task05_Prostate")
        result = converted("msd", folder=tmp_path / "outer")
        assert result.names("labelsTr") == [f"{name}.nii.gz" for name in NAMES]

    def test_names_the_missing_cases(self, task, converted):
        source = task()
        (source.path / "imagesTr/prostate_01.nii.gz").unlink()
        (source.path / "labelsTr/prostate_01.nii.gz").unlink()
        assert converted("msd_prostate").result.missing == ["prostate_01"]

    def test_with_too_few_channels_in_a_file_is_refused(self, task, converted):
        task().image("imagesTr/prostate_00.nii.gz", shape=(6, 5, 4))
        with pytest.raises(HermesError, match=r"case prostate_00: .* has shape \(6, 5, 4\), and no volume 1"):
            converted("msd_prostate")

    def test_of_another_name_is_refused(self, task, converted):
        task("Pancreas", ("CT",), ("background", "pancreas", "cancer"))
        with pytest.raises(HermesError, match="is of the task Pancreas, not Prostate: use 'hermes_nnunet convert msd'"):
            converted("msd_prostate")
        assert converted("msd_pancreas").folder.name == "Dataset011_MSD_Pancreas"

    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"labels": None}, "labels must be keys with values"),
            ({"modality": ["CT"]}, "modality must be keys with values"),
            ({"training": [{}]}, r"training\[0\]: image is missing"),
            ({"labels": {"one": "PZ"}}, "labels: a key must be a number, as text, not 'one'"),
        ],
    )
    def test_with_an_incomplete_dataset_json_is_refused(self, task, converted, changes, place):
        task(changes=changes)
        with pytest.raises(HermesError, match=rf"dataset\.json: {place}.*: give the folder of a task"):
            converted("msd")

    def test_without_dataset_json_is_refused(self, source, converted):
        with pytest.raises(HermesError, match=r"dataset\.json does not exist: give the folder of a task, such as"):
            converted("msd")
