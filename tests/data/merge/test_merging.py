import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from hermes_nnunet.collection import Case, Collection
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.data.merge.report import result_lines
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.preprocessor import context_channel
from hermes_nnunet.plans import HermesPlans

SHARED_RAW = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "raw"
LPI = np.diag([-2.0, -2.0, -3.0, 1.0])
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def specification(*members: MemberSpecification, **others) -> MergeSpecification:
    return MergeSpecification(**{"name": "All", "into": 900, "members": members, **others})


def two_members(raw) -> MergeSpecification:
    raw.add("Dataset001_Belly", affine=LPI)
    raw.add("Dataset002_Heart", {"background": 0, "left ventricle": 1}, cases=("h1", "h2", "h3"))
    return specification(MemberSpecification(1, "CT"), MemberSpecification("Dataset002_Heart", "cineMRI"))


class TestDatasetJson:
    def test_names_tasks_as_labels(self, raw, read_json):
        content = read_json(merge(two_members(raw), processes=1).folder / "dataset.json")
        assert content["labels"] == {
            "background": 0,
            "Belly/liver": 1,
            "Belly/spleen": 2,
            "Heart/left ventricle": 3,
        }
        assert "regions_class_order" not in content
        assert content["channel_names"] == {"0": "image"}
        assert content["numTraining"] == 8
        assert content["file_ending"] == ".nii.gz"

    def test_references_images_beside_the_collection(self, raw, read_json):
        folder = merge(two_members(raw), processes=1).folder
        entry = read_json(folder / "dataset.json")["dataset"]["Belly__a"]
        assert entry == {
            "images": ["../Dataset001_Belly/imagesTr/a_0000.nii.gz"],
            "label": "labelsTr/Belly__a.nii.gz",
        }
        assert not (folder / "imagesTr").exists()

    def test_holds_the_collection(self, raw, read_json):
        result = merge(two_members(raw), processes=1)
        collection = Collection.from_dataset_json(read_json(result.folder / "dataset.json"), "test")
        assert collection == result.collection
        assert collection.modalities == ("CT", "cineMRI", "unknown")
        assert collection.cases["Heart__h1"] == Case("Heart", "cineMRI", "h1")
        belly = collection.members["Belly"]
        assert belly.tasks == ("Belly/liver", "Belly/spleen")
        assert belly.labels == {"background": 0, "liver": 1, "spleen": 2}
        assert belly.channels == {"CT": None}
        assert belly.channel_names == {"0": "CT"}
        assert belly.sampling_weight == pytest.approx(5**0.5)

    def test_lists_regions_and_ignore_as_nnunet_wants(self, raw, read_json):
        raw.add("Dataset001_Belly", {"background": 0, "liver": 1, "ignore": 2})
        raw.add("Dataset002_Brain", REGIONS, regions_class_order=[1, 2, 3])
        members = (MemberSpecification(1, "CT"), MemberSpecification(2, "FLAIR"))
        content = read_json(merge(specification(*members), processes=1).folder / "dataset.json")
        assert content["labels"] == {
            "background": 0,
            "Belly/liver": 1,
            "Brain/whole": [2, 3, 4],
            "Brain/core": [3, 4],
            "Brain/enhancing": 4,
            "ignore": 5,
        }
        assert content["regions_class_order"] == [1, 2, 3, 4]

    def test_puts_unknown_last_where_a_member_is_of_unknown_modality(self, raw):
        raw.add("Dataset001_Belly")
        raw.add("Dataset002_Heart")
        members = (MemberSpecification(1, "unknown"), MemberSpecification(2, "T2"))
        assert merge(specification(*members), dry_run=True).collection.modalities == ("T2", "unknown")


class TestLabelFiles:
    def test_hold_the_collections_values_in_the_images_geometry(self, raw):
        folder = merge(two_members(raw), processes=1).folder
        own = nibabel.load(raw.path / "Dataset002_Heart/labelsTr/h1.nii.gz")
        written = nibabel.load(folder / "labelsTr/Heart__h1.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(own.dataobj) * 3)
        belly = nibabel.load(folder / "labelsTr/Belly__a.nii.gz")
        np.testing.assert_array_equal(belly.affine, LPI)
        assert belly.header.get_zooms() == (2, 2, 3)
        assert belly.get_data_dtype() == np.uint8

    def test_are_16_bit_where_values_need_it(self, raw):
        labels = {"background": 0, **{f"label {i}": i for i in range(1, 256)}}
        raw.add("Dataset001_Many", labels)
        raw.add("Dataset002_Heart", {"background": 0, "heart": 1})
        folder = merge(specification(MemberSpecification(1, "CT"), MemberSpecification(2, "CT")), processes=1).folder
        written = nibabel.load(folder / "labelsTr/Heart__a.nii.gz")
        assert written.get_data_dtype() == np.uint16
        assert np.unique(written.dataobj).tolist() == [0, 256]

    def test_may_be_stored_as_floats_and_uncompressed(self, raw):
        folder = raw.add("Dataset001_Belly", ending=".nii")
        raw.write_label(folder, "a.nii", [0, 2], dtype=np.float32)
        written = merge(specification(MemberSpecification(1, "CT")), processes=1).folder / "labelsTr/Belly__a.nii.gz"
        assert np.unique(nibabel.load(written).dataobj).tolist() == [0, 2]

    def test_may_differ_from_the_image_by_rounding(self, raw):
        folder = raw.add("Dataset001_Belly")
        affine = np.diag([1.5004, 1.5, 8.0, 1.0])
        raw.write_label(folder, "a.nii.gz", [0, 1], affine)
        written = merge(specification(MemberSpecification(1, "CT")), processes=1).folder / "labelsTr/Belly__a.nii.gz"
        assert nibabel.load(written).affine[0, 0] == 1.5

    def test_are_the_same_from_several_processes(self, raw):
        one = merge(two_members(raw), processes=1).folder
        many = merge(specification(*two_members_again(), into=901), processes=2).folder
        names = sorted(os.listdir(one / "labelsTr"))
        assert names == sorted(os.listdir(many / "labelsTr"))
        for name in names:
            assert (one / "labelsTr" / name).read_bytes() == (many / "labelsTr" / name).read_bytes()


def two_members_again() -> tuple[MemberSpecification, ...]:
    return MemberSpecification(1, "CT"), MemberSpecification(2, "cineMRI")


class TestChannels:
    def test_one_can_be_chosen_by_name_or_index(self, raw, read_json):
        raw.add("Dataset001_Brain", channels=("T1", "FLAIR"))
        raw.add("Dataset002_Head", channels=("T1", "T2", "FLAIR"))
        members = (MemberSpecification(1, "FLAIR", channel="FLAIR"), MemberSpecification(2, "T2", channel=1))
        result = merge(specification(*members), processes=1)
        dataset = read_json(result.folder / "dataset.json")["dataset"]
        assert dataset["Brain__a"]["images"] == ["../Dataset001_Brain/imagesTr/a_0001.nii.gz"]
        assert dataset["Head__a"]["images"] == ["../Dataset002_Head/imagesTr/a_0001.nii.gz"]
        assert result.collection.members["Brain"].channels == {"FLAIR": 1}

    def test_can_be_cases_of_their_own_that_folds_keep_together(self, raw, read_json):
        raw.add("Dataset001_Brain", channels=("T1", "T2", "FLAIR"))
        member = MemberSpecification(1, channels={"FLAIR": "FLAIR", 0: "T1"})
        result = merge(specification(member), processes=1)
        dataset = read_json(result.folder / "dataset.json")["dataset"]
        assert len(dataset) == 10
        assert dataset["Brain__a__T1"] == {
            "images": ["../Dataset001_Brain/imagesTr/a_0000.nii.gz"],
            "label": "labelsTr/Brain__a__T1.nii.gz",
        }
        labels = result.folder / "labelsTr"
        assert (labels / "Brain__a__T1.nii.gz").read_bytes() == (labels / "Brain__a__FLAIR.nii.gz").read_bytes()
        assert result.collection.modalities == ("FLAIR", "T1", "unknown")
        assert result.collection.cases["Brain__a__T1"].patient == result.collection.cases["Brain__a__FLAIR"].patient
        for fold in result.folds:
            assert {name.split("__")[1] for name in fold["train"]}.isdisjoint(
                name.split("__")[1] for name in fold["val"]
            )

    def test_can_be_several_in_all_members(self, raw, read_json):
        raw.add("Dataset001_Brain", channels=("T1", "FLAIR"))
        raw.add("Dataset002_Head", channels=("T1", "FLAIR"))
        result = merge(specification(MemberSpecification(1, "MRI"), MemberSpecification(2, "MRI")), processes=1)
        content = read_json(result.folder / "dataset.json")
        assert content["channel_names"] == {"0": "image_0", "1": "image_1"}
        assert len(content["dataset"]["Head__a"]["images"]) == 2


class TestModalityByCase:
    CASES = ("1_t1in", "1_t1out", "1_t2", "2_t1in", "2_t2", "3_t2")
    MEMBER = MemberSpecification(1, {"T1": "_t1(in|out)$", "T2": "_t2$"}, patient_pattern=r"^\d+")

    def test_is_that_of_the_pattern_in_the_cases_name(self, raw, read_json):
        raw.add("Dataset001_Belly", cases=self.CASES, channels=("MR",))
        result = merge(specification(self.MEMBER), processes=1)
        assert {name: case.modality for name, case in result.collection.cases.items()} == {
            "Belly__1_t1in": "T1",
            "Belly__1_t1out": "T1",
            "Belly__1_t2": "T2",
            "Belly__2_t1in": "T1",
            "Belly__2_t2": "T2",
            "Belly__3_t2": "T2",
        }
        assert result.collection.modalities == ("T1", "T2", "unknown")
        assert result.collection.members["Belly"].channels == {"T1": None, "T2": None}
        assert read_json(result.folder / "dataset.json")["numTraining"] == 6

    def test_goes_with_a_chosen_channel(self, raw, read_json):
        raw.add("Dataset001_Belly", cases=self.CASES, channels=("image", "mask"))
        result = merge(specification(replace(self.MEMBER, channel="mask")), processes=1)
        entry = read_json(result.folder / "dataset.json")["dataset"]["Belly__1_t2"]
        assert entry["images"] == ["../Dataset001_Belly/imagesTr/1_t2_0001.nii.gz"]
        assert result.collection.members["Belly"].channels == {"T1": 1, "T2": 1}

    def test_reaches_the_context_of_a_case_and_of_the_view(self, raw, monkeypatch):
        raw.add("Dataset001_Belly", cases=self.CASES)
        collection = merge(specification(self.MEMBER), dry_run=True).collection
        assert collection.context_of("Belly__1_t1out").modality == "T1"
        assert collection.context_of("Belly__1_t2").modality == "T2"
        view = HermesPlans.of_collection(collection, {}).of_member("Belly")
        assert view.context.modality == "T1"
        monkeypatch.setenv("HERMES_MODALITY", "T2")
        assert view.with_modality_override().context.modality == "T2"
        files = ["/in/4_0000.nii.gz"]
        assert context_channel(files, view) == files

    def test_is_part_of_what_a_second_run_compares(self, raw):
        raw.add("Dataset001_Belly", cases=self.CASES)
        merge(specification(self.MEMBER), processes=1)
        assert merge(specification(self.MEMBER), processes=1).is_up_to_date
        other = replace(self.MEMBER, modality={"T1": "_t1in$", "T2": "_t1out|_t2$"})
        with pytest.raises(HermesError, match=r"made by another merge .*modality_patterns\.T1 was"):
            merge(specification(other), processes=1)


def test_a_file_ending_without_its_dot_is_understood(raw, read_json):
    folder = raw.add("Dataset001_Belly")
    content = read_json(folder / "dataset.json")
    (folder / "dataset.json").write_text(json.dumps({**content, "file_ending": "nii.gz"}))
    result = merge(specification(MemberSpecification(1, "CT")), processes=1)
    assert len(result.collection.cases) == 5
    assert result.collection.members["Belly"].file_ending == ".nii.gz"


FIVE_OF_TWENTY = [
    {"train": [f"c{number:02d}" for number in range(5) if number != left], "val": [f"c{left:02d}"]} for left in range(5)
]


class TestFolds:
    def test_come_from_the_members_own_file_in_raw_before_the_preprocessed_one(self, raw, tmp_path, read_json):
        own = [{"train": ["a", "b", "c"], "val": ["d"]}, {"train": ["d", "b", "c"], "val": ["a"]}]
        raw.add("Dataset001_Belly", splits=own)
        preprocessed = tmp_path / "preprocessed" / "Dataset001_Belly"
        preprocessed.mkdir()
        (preprocessed / "splits_final.json").write_text("[]")
        raw.add("Dataset002_Heart", cases=("x", "y", "z"))
        result = merge(specification(MemberSpecification(1, "CT"), MemberSpecification(2, "CT")), processes=1)
        splits = read_json(result.folder / "splits_final.json")
        assert splits == result.folds
        assert [fold["val"][0] for fold in splits] == ["Belly__d", "Belly__a"]
        assert result.fold_origins == {"Belly": "raw", "Heart": "made"}

    def test_come_from_preprocessed_where_raw_has_none(self, raw, tmp_path):
        raw.add("Dataset001_Belly")
        preprocessed = tmp_path / "preprocessed" / "Dataset001_Belly"
        preprocessed.mkdir()
        (preprocessed / "splits_final.json").write_text('[{"train": ["a"], "val": ["b"]}]')
        result = merge(specification(MemberSpecification(1, "CT")), processes=1)
        assert result.folds == [{"train": ["Belly__a"], "val": ["Belly__b"]}]
        assert result.fold_origins == {"Belly": "preprocessed"}

    def test_warn_of_labelled_cases_that_the_members_own_file_leaves_out(self, raw):
        cases = [f"c{number:02d}" for number in range(20)]
        raw.add("Dataset001_Belly", cases=[*cases, "u"], splits=FIVE_OF_TWENTY)
        member = MemberSpecification(1, "CT", unlabelled=("u",))
        result = merge(specification(member), processes=1)
        file = raw.path / "Dataset001_Belly/splits_final.json"
        assert (
            f"warning: {file} leaves out 15 of the 20 labelled cases of Belly, which are neither trained on nor "
            f"validated: {', '.join(cases[5:15])} and 5 more; if that is not meant, remove the file to have folds made"
        ) in result_lines(result)
        assert {name for fold in result.folds for name in fold["val"]} == {f"Belly__{case}" for case in cases[:5]}
        assert merge(specification(member), processes=1).warnings == result.warnings

    def test_warn_of_nothing_where_the_members_own_file_names_all(self, raw):
        splits = [{"train": ["a", "b", "c"], "val": ["d"]}, {"train": ["a", "b"], "val": ["e"]}]
        raw.add("Dataset001_Belly", splits=splits)
        assert merge(specification(MemberSpecification(1, "CT")), processes=1).warnings == ()

    @pytest.mark.parametrize("pattern", [r"(?P<patient>p\d)", r"^(p\d)_", r"p\d"])
    def test_keep_the_cases_of_a_patient_together(self, raw, pattern):
        raw.add("Dataset001_Belly", cases=[f"p{i}_{visit}" for i in range(4) for visit in "uvw"])
        result = merge(specification(MemberSpecification(1, "CT", patient_pattern=pattern)), processes=1)
        assert result.collection.cases["Belly__p2_u"].patient == "p2"
        assert len(result.folds) == 5
        for fold in result.folds:
            assert {name[7:9] for name in fold["train"]}.isdisjoint(name[7:9] for name in fold["val"])


class TestMembers:
    def test_may_reference_their_images_elsewhere(self, raw, tmp_path, read_json):
        raw.add("Dataset001_Belly")
        elsewhere = tmp_path / "elsewhere"
        (raw.path / "Dataset001_Belly" / "imagesTr").rename(elsewhere)
        dataset = {
            case: {"images": [str(elsewhere / f"{case}_0000.nii.gz")], "label": f"labelsTr/{case}.nii.gz"}
            for case in "abcde"
        }
        content = read_json(raw.path / "Dataset001_Belly" / "dataset.json")
        (raw.path / "Dataset001_Belly" / "dataset.json").write_text(
            str({**content, "dataset": dataset}).replace("'", '"')
        )
        folder = merge(specification(MemberSpecification(1, "CT")), processes=1).folder
        entry = read_json(folder / "dataset.json")["dataset"]["Belly__a"]
        assert entry["images"] == [str(elsewhere / "a_0000.nii.gz")]

    def test_may_be_links_into_another_folder(self, raw, tmp_path, read_json):
        raw.add("Dataset001_Belly")
        (raw.path / "Dataset001_Belly").rename(tmp_path / "real")
        (raw.path / "Dataset001_Belly").symlink_to(tmp_path / "real")
        folder = merge(specification(MemberSpecification(1, "CT")), processes=1).folder
        entry = read_json(folder / "dataset.json")["dataset"]["Belly__a"]
        assert entry["images"] == ["../Dataset001_Belly/imagesTr/a_0000.nii.gz"]
        assert os.path.isfile(os.path.abspath(folder / entry["images"][0]))


class TestDryRun:
    def test_writes_nothing_and_returns_what_would_be_written(self, raw):
        merging = two_members(raw)
        before = raw.files()
        planned = merge(merging, dry_run=True)
        assert raw.files() == before
        merged = merge(merging, processes=1)
        assert (planned.collection, planned.folds) == (merged.collection, merged.folds)


class TestStockNnunet:
    @pytest.fixture
    def folder(self, raw):
        raw.add("Dataset001_Belly", {"background": 0, "liver": 1, "ignore": 2}, affine=LPI)
        raw.add("Dataset002_Brain", REGIONS, regions_class_order=[1, 2, 3], channels=("T1", "FLAIR"))
        members = (MemberSpecification(1, "CT"), MemberSpecification(2, channels={"T1": "T1", "FLAIR": "FLAIR"}))
        return merge(specification(*members), processes=1).folder

    def test_accepts_the_labels(self, folder, read_json):
        from nnunetv2.utilities.label_handling.label_handling import LabelManager

        content = read_json(folder / "dataset.json")
        manager = LabelManager(content["labels"], content["regions_class_order"])
        assert [*manager.all_labels, manager.ignore_label] == [0, 1, 2, 3, 4, 5]
        assert manager.foreground_regions == [1, (2, 3, 4), (3, 4), 4]

    def test_finds_and_accepts_every_case(self, folder):
        from nnunetv2.experiment_planning.verify_dataset_integrity import check_cases, verify_labels
        from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
        from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

        cases = get_filenames_of_train_images_and_targets(str(folder))
        assert len(cases) == 15
        for case in cases.values():
            assert check_cases(case["images"], case["label"], 1, NibabelIOWithReorient)
            assert verify_labels(case["label"], NibabelIOWithReorient, list(range(6)))


@pytest.mark.skipif(not SHARED_RAW.is_dir(), reason="the real images are not here")
class TestRealData:
    def test_merges_with_every_voxel_of_every_label(self, raw):
        for name in ("Dataset301_HeadNeckCord", "Dataset303_CardiacCine"):
            (raw.path / name).symlink_to(SHARED_RAW / name)
        members = (
            MemberSpecification(301, "CT", name="cord", labels={"mandible": None}),
            MemberSpecification(303, "cineMRI", name="cine", patient_pattern=r"cine_(\d+)"),
        )
        result = merge(specification(*members), processes=1)
        assert len(result.collection.cases) == 64
        assert len({case.patient for case in result.collection.cases.values() if case.member == "cine"}) == 20
        own = nibabel.load(SHARED_RAW / "Dataset303_CardiacCine/labelsTr/cine_001_01.nii.gz")
        written = nibabel.load(result.folder / "labelsTr/cine__cine_001_01.nii.gz")
        expected = np.array([0, 3, 4, 5])[np.asanyarray(own.dataobj)]
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), expected)
        assert len(np.unique(expected)) == 4
        cord = nibabel.load(result.folder / "labelsTr/cord__hn_001.nii.gz")
        assert nibabel.aff2axcodes(cord.affine) == ("L", "P", "I")
        assert np.asanyarray(cord.dataobj).max() == 2
