import gzip
import json
import re

import nibabel
import numpy as np
import pytest
from filelock import FileLock

from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, case_rewriting, merge
from hermes_nnunet.errors import HermesError

CT = MemberSpecification(1, "CT")
HEART = MemberSpecification(2, "CT")


class TestDatasets:
    def test_unknown_id_is_told_with_the_folder_and_near_ids(self, raw, refused):
        raw.add("Dataset041_Brain")
        message = refused(MemberSpecification(401, "CT"))
        assert f"data set 401 is not in nnUNet_raw={raw.path}" in message
        assert "near ids there: 41" in message

    def test_unknown_name_is_told_with_a_near_one(self, raw, refused):
        raw.add("Dataset041_Brain")
        assert "did you mean 'Dataset041_Brain'?" in refused(MemberSpecification("Dataset041_Brian", "CT"))

    def test_id_of_two_folders_is_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        raw.add("Dataset001_Heart")
        assert "data set 1 is not unique" in refused(CT)

    def test_twice_is_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        again = MemberSpecification("Dataset001_Belly", "CT", name="again")
        assert "Dataset001_Belly is named 2 times" in refused(CT, again)

    def test_two_of_one_name_are_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        raw.add("Dataset002_Belly")
        message = refused(CT, MemberSpecification(2, "CT"))
        assert "Dataset001_Belly and Dataset002_Belly are both named 'Belly'" in message

    def test_name_that_cannot_be_a_members_is_told(self, raw, refused):
        raw.add("Dataset001_My__Belly")
        assert "set name: for Dataset001_My__Belly" in refused(CT)

    def test_collection_as_a_member_is_told(self, raw, refused):
        raw.add("Dataset001_Belly", hermes={})
        assert "Dataset001_Belly is itself a collection" in refused(CT)

    def test_other_formats_are_told_with_how_to_convert(self, raw, refused):
        raw.add("Dataset001_Belly", cases=(), ending=".tif")
        message = refused(CT)
        assert "file_ending is '.tif'" in message
        assert "SimpleITK.WriteImage(SimpleITK.ReadImage('x_0000.tif'), 'x_0000.nii.gz')" in message

    @pytest.mark.parametrize(
        ("image", "command"),
        [
            ("a_0000.nii.gz", "nnUNetv2_convert_old_nnUNet_dataset {} DatasetXXX_Belly"),
            ("a.nii.gz", "hermes_nnunet convert msd {} -d ID"),
        ],
    )
    def test_of_nnunet_v1_or_the_decathlon_is_told_with_the_command(self, raw, refused, image, command):
        folder = raw.add("Dataset001_Belly", cases=())
        raw.write_image(folder, image)
        content = {
            "name": "Belly",
            "tensorImageSize": "3D",
            "modality": {"0": "CT"},
            "labels": {"0": "background", "1": "liver"},
            "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        assert command.format(folder) in refused(CT)

    def test_that_lies_there_as_a_task_of_v1_only_is_told(self, raw, refused):
        (raw.path / "Task001_Belly").mkdir()
        message = refused(CT)
        assert "as Task001_Belly only" in message
        assert "nnUNetv2_convert_old_nnUNet_dataset" in message

    def test_without_dataset_json_is_told(self, raw, refused):
        (raw.add("Dataset001_Belly") / "dataset.json").unlink()
        assert "Dataset001_Belly/dataset.json does not exist" in refused(CT)

    def test_without_cases_is_told(self, raw, refused):
        raw.add("Dataset001_Belly", cases=())
        assert "imagesTr holds no images" in refused(CT)

    def test_unset_raw_folder_is_told(self, raw, refused, monkeypatch):
        monkeypatch.delenv("nnUNet_raw")
        assert "the environment variable nnUNet_raw is not set" in refused(CT)

    def test_raw_folder_that_is_not_there_is_told(self, raw, refused, monkeypatch):
        monkeypatch.setenv("nnUNet_raw", "/not/here")
        assert "nnUNet_raw=/not/here is not a folder" in refused(CT)


class TestFiles:
    def test_with_a_dollar_in_their_name_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly", cases=("a", "b$HOME"))
        message = refused(CT)
        assert message.startswith(
            f"{folder}/imagesTr/b$HOME_0000.nii.gz has a '$' in its name, which nnU-Net takes for"
        )

    def test_whose_names_would_become_too_long_are_told(self, raw, refused):
        raw.add("Dataset001_LongNamedBelly", cases=("a", "b" * 235))
        message = refused(CT)
        assert f"would be called LongNamedBelly__{'b' * 235} in the collection, 8 letters too many" in message
        assert "give the member a shorter name:" in message

    def test_image_without_label_and_label_without_image_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        (folder / "labelsTr/a.nii.gz").unlink()
        (folder / "imagesTr/b_0000.nii.gz").unlink()
        message = refused(CT)
        assert message.startswith("2 problems")
        assert f"{folder}/labelsTr/a.nii.gz is missing" in message
        assert f"{folder}/labelsTr/b.nii.gz has no image in imagesTr" in message

    def test_missing_channel_of_a_case_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly", channels=("T1", "T2"))
        (folder / "imagesTr/b_0001.nii.gz").unlink()
        assert f"{folder}/imagesTr/b_0001.nii.gz is missing" in refused(MemberSpecification(1, "T1", channel=0))

    def test_channel_that_is_not_declared_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_image(folder, "a_0001.nii.gz")
        assert "a_0001.nii.gz is channel 1, but dataset.json names 1 channels" in refused(CT)

    def test_name_without_a_channel_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_image(folder, "x.nii.gz")
        assert "x.nii.gz is not named <case>_0000.nii.gz" in refused(CT)

    @pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.95])
    @pytest.mark.parametrize("place", ["imagesTr/c_0000", "labelsTr/c"])
    @pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
    def test_truncated_file_is_told(self, raw, refused, place, fraction, ending):
        path = raw.add("Dataset001_Belly", ending=ending) / f"{place}{ending}"
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])
        message = refused(CT)
        assert f"{path} cannot be read" in message
        assert "copy it again" in message
        assert "\n" not in message

    def test_file_that_is_no_image_is_told(self, raw, refused):
        path = raw.add("Dataset001_Belly") / "imagesTr/c_0000.nii.gz"
        path.write_bytes(gzip.compress(b"not an image" * 100))
        assert f"{path} cannot be read" in refused(CT)

    def test_four_dimensional_image_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        path = raw.write_image(folder, "a_0000.nii.gz", shape=(4, 4, 4, 2))
        assert f"{path} has 4 dimensions (4, 4, 4, 2)" in refused(CT)

    def test_voxels_that_no_image_has_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        path = raw.write_image(folder, "a_0000.nii.gz", np.diag([1.5, 1e4, 8.0, 1.0]))
        raw.write_label(folder, "a.nii.gz", [0, 1, 2], np.diag([1.5, 1e4, 8.0, 1.0]))
        message = refused(CT)
        assert f"{path} has voxels of 1.5 x 10000 x 8 mm, which no image has" in message
        assert f"{folder / 'labelsTr/a.nii.gz'} has voxels of 1.5 x 10000 x 8 mm" in message

    def test_image_with_nan_is_told(self, raw, refused):
        path = raw.add("Dataset001_Belly") / "imagesTr/a_0000.nii.gz"
        voxels = np.zeros((6, 5, 4), np.float32)
        voxels[1, 2, 3] = np.nan
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.5, 1.5, 8.0, 1.0])), path)
        assert f"{path} holds NaN or infinite voxels" in refused(CT)

    def test_other_shape_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_label(folder, "b.nii.gz", [0, 1], shape=(6, 5, 3))
        message = refused(CT)
        assert "imagesTr/b_0000.nii.gz has shape (6, 5, 4), but" in message
        assert "labelsTr/b.nii.gz (6, 5, 3)" in message

    def test_other_geometry_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_label(folder, "b.nii.gz", [0, 1], np.diag([1.502, 1.5, 8.0, 1.0]))
        message = refused(CT)
        assert f"the affines of {folder}/imagesTr/b_0000.nii.gz and {folder}/labelsTr/b.nii.gz differ by" in message
        assert "0.002 mm" in message

    def test_other_geometry_of_the_second_channel_is_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly", channels=("T1", "T2"))
        raw.write_image(folder, "b_0001.nii.gz", np.diag([-1.5, 1.5, 8.0, 1.0]))
        assert "b_0001.nii.gz and" in refused(MemberSpecification(1, "MRI"))

    def test_all_problems_are_counted_and_the_first_ten_listed(self, raw, refused):
        cases = [f"c{i:02d}" for i in range(14)]
        folder = raw.add("Dataset001_Belly", cases=cases)
        for case in cases[1:]:
            raw.write_label(folder, f"{case}.nii.gz", [0, 9])
        lines = refused(CT).splitlines()
        assert lines[0].startswith("13 problems in the members' files, the first 10")
        assert len(lines) == 11
        assert "labelsTr/c01.nii.gz holds 9" in lines[1]


class TestLabelValues:
    def test_that_dataset_json_does_not_know_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        path = raw.write_label(folder, "b.nii.gz", [0, 1, 3, 200])
        message = refused(CT)
        assert f"{path} holds 3, 200, which its dataset.json does not declare (known are 0, 1, 2)" in message

    def test_that_are_negative_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_label(folder, "b.nii.gz", [0, -1], dtype=np.int16)
        assert "holds -1, which" in refused(CT)

    def test_that_are_not_whole_are_told(self, raw, refused):
        folder = raw.add("Dataset001_Belly")
        raw.write_label(folder, "b.nii.gz", [0, 0.5, 1, np.nan], dtype=np.float32)
        assert "b.nii.gz holds 0.5, nan, which" in refused(CT)

    def test_too_many_are_told(self, raw, refused):
        raw.add("Dataset001_Belly", {"background": 0, **{f"label {i}": i for i in range(1, 32769)}}, cases="ab")
        assert "32768 label values together, nnU-Net can store 32767" in refused(CT)


class TestChannels:
    def test_different_numbers_are_told_with_how_to_choose(self, raw, refused):
        raw.add("Dataset001_Belly")
        raw.add("Dataset002_Brain", channels=("T1", "FLAIR"))
        message = refused(CT, MemberSpecification(2, "FLAIR"))
        assert "different numbers of channels (Dataset001_Belly 1, Dataset002_Brain 2)" in message
        assert "channel:" in message
        assert "channels:" in message

    def test_unknown_one_is_told_with_those_there_are(self, raw, refused):
        raw.add("Dataset002_Brain", channels=("T1", "FLAIR"))
        message = refused(MemberSpecification(2, "FLAIR", channel="FLARE"))
        assert "has no channel 'FLARE' (did you mean 'FLAIR'?): its channels are 0 (T1), 1 (FLAIR)" in message

    def test_index_beyond_the_last_is_told(self, raw, refused):
        raw.add("Dataset002_Brain", channels=("T1", "FLAIR"))
        assert "has no channel 2" in refused(MemberSpecification(2, "FLAIR", channel=2))

    def test_a_ct_of_several_of_which_none_is_named_so_is_warned_of(self, raw, merge_members):
        folder = raw.add("Dataset001_Belly", channels=("arterial", "venous"))
        (warning,) = merge_members(CT).warnings
        assert f"{folder / 'dataset.json'}: its modality is CT, so all its channels (arterial, venous) are" in warning
        assert "channel_names, or choose one with channel:, or make each a case of its own with channels:" in warning

    def test_a_ct_of_several_of_which_one_is_named_so_is_not(self, raw, merge_members):
        raw.add("Dataset001_Belly", channels=("CT", "PET"))
        assert merge_members(CT).warnings == ()

    def test_cts_in_several_places_are_told(self, raw, refused):
        raw.add("Dataset001_Belly", channels=("CT", "PET"))
        raw.add("Dataset002_Heart", channels=("PET", "CT"))
        assert "differ in which of their channels are named CT (Belly: 0, Heart: 1)" in refused(CT, HEART)

    def test_one_under_two_names_is_told(self, raw, refused):
        raw.add("Dataset002_Brain", channels=("T1", "FLAIR"))
        assert "name one channel twice" in refused(MemberSpecification(2, channels={"T1": "T1", 0: "T2"}))


class TestModalities:
    def test_unknown_word_is_told_with_the_known_ones(self, raw, refused):
        raw.add("Dataset001_Belly")
        message = refused(MemberSpecification(1, "ct"))
        assert "modality 'ct' of member 1 is not known (did you mean 'CT'?): the known are CT, PET" in message
        assert "--new-modality ct" in message

    def test_new_word_is_allowed_on_purpose(self, raw, merge_members):
        raw.add("Dataset001_Belly")
        result = merge_members(MemberSpecification(1, "DIXON"), new_modalities=("DIXON",))
        assert result.collection.modalities == ("DIXON", "unknown")

    @pytest.mark.parametrize("word", ["a__b", "a/b", "", "_a", "a b"])
    def test_new_word_that_cannot_be_in_a_file_name_is_told(self, refused, word):
        assert f"new modality '{word}': use letters" in refused(CT, new_modalities=(word,))

    @pytest.mark.parametrize(
        ("patterns", "message"),
        [
            (
                {"T1": "[ab]", "T2": "[cd]"},
                "case e of Dataset001_Belly matches the patterns of no modality: every case",
            ),
            ({"T1": "[abc]", "T2": "[cde]"}, "case c of Dataset001_Belly matches the patterns of T1, T2: every case"),
            ({"T1": ".", "T2": "t2"}, "pattern 't2' of modality T2 matches no case of Dataset001_Belly"),
        ],
    )
    def test_that_do_not_fit_the_cases_are_told(self, raw, refused, patterns, message):
        raw.add("Dataset001_Belly")
        assert message in refused(MemberSpecification(1, patterns))

    def test_missing_one_is_told(self, refused):
        with pytest.raises(HermesError, match="member 1 has no modality"):
            MemberSpecification(1)


class TestSharedTasks:
    @pytest.mark.parametrize(
        ("shared", "message"),
        [
            (
                {"liver": ["Belly/liver", "Belly/liver"]},
                "'liver' names Belly/liver twice: a task is not shared with itself",
            ),
            ({"liver": ["Belly/liver"]}, "'liver' names 1 label: a task is shared by two or more"),
            ({"liver": ["Belly/liver", "Chest/livre"]}, r"no label Chest/livre \(did you mean 'Chest/liver'\?\)"),
            ({"liver": ["Belly/liver", "Heart/liver"]}, "there is no label Heart/liver"),
            ({"liver": ["Belly/liver", "Belly/spleen"]}, "'liver' names 2 labels of member Belly: one a member"),
            (
                {"liver": ["Belly/liver", "Chest/liver"], "hepar": ["Belly/liver", "Chest/spleen"]},
                "'liver' and 'hepar' both name Belly/liver",
            ),
            ({"Belly/liver": ["Belly/liver", "Chest/liver"]}, "must not be empty nor hold '/'"),
            ({"a__b": ["Belly/liver", "Chest/liver"]}, "must not be empty nor hold '/' or '__'"),
            ({"ignore": ["Belly/liver", "Chest/liver"]}, "'ignore': nnU-Net needs this name for itself"),
        ],
    )
    def test_that_make_no_sense_are_told(self, raw, refused, shared, message):
        raw.add("Dataset001_Belly")
        raw.add("Dataset002_Chest")
        assert re.search(message, refused(CT, MemberSpecification(2, "CT"), shared_tasks=shared))

    def test_that_contradict_a_members_labels_are_told(self, raw, refused):
        raw.add("Dataset001_Brain", {"background": 0, "core": 1, "enhancing": 2})
        regions = {"background": 0, "core": [1, 2], "enhancing": 2}
        raw.add("Dataset002_Other", regions, regions_class_order=[1, 2])
        shared = {name: [f"Brain/{name}", f"Other/{name}"] for name in ("core", "enhancing")}
        message = refused(CT, MemberSpecification(2, "CT"), shared_tasks=shared)
        assert "shared task 'core' would cover enhancing of member Brain too" in message


class TestLabels:
    @pytest.mark.parametrize(
        ("renamed", "message"),
        [
            ({"livre": "x"}, "member Belly has no label 'livre' (did you mean 'liver'?)"),
            ({"liver": "spleen"}, "labels liver and spleen of member Belly are both named 'spleen'"),
            ({"liver": None, "spleen": None}, "member Belly has no label left"),
            ({"liver": "a/b"}, "label of member Belly 'a/b' must not"),
        ],
    )
    def test_renamed_in_vain_are_told(self, raw, refused, renamed, message):
        raw.add("Dataset001_Belly")
        assert message in refused(MemberSpecification(1, "CT", labels=renamed))

    def test_background_cannot_be_renamed(self):
        with pytest.raises(HermesError, match="background and ignore stay what they are"):
            MemberSpecification(1, "CT", labels={"background": "air"})


class TestFolds:
    def test_member_with_one_patient_is_told(self, raw, refused):
        raw.add("Dataset001_Belly", cases=("p1_a", "p1_b"))
        message = refused(MemberSpecification(1, "CT", patient_pattern=r"p\d"))
        assert "member Belly has one patient only (p1)" in message

    def test_own_folds_that_part_a_patient_are_told(self, raw, refused):
        splits = [{"train": ["p1_a", "p2_a"], "val": ["p1_b"]}]
        raw.add("Dataset001_Belly", cases=("p1_a", "p1_b", "p2_a"), splits=splits)
        message = refused(MemberSpecification(1, "CT", patient_pattern=r"p\d"))
        assert "splits_final.json, fold 0: cases of patient p1 are in both train and val" in message

    def test_pattern_that_finds_no_patient_is_told_with_the_case(self, raw, refused):
        raw.add("Dataset001_Belly", cases=("p1", "p2", "x"))
        message = refused(MemberSpecification(1, "CT", patient_pattern=r"p\d"))
        assert "patient_pattern 'p\\d' finds no patient in case x of Dataset001_Belly" in message

    def test_pattern_that_is_none_is_told(self):
        with pytest.raises(HermesError, match=r"patient_pattern '\(' of member 1 is not a regular expression"):
            MemberSpecification(1, "CT", patient_pattern="(")


class TestTarget:
    @pytest.mark.parametrize("place", ["raw", "preprocessed", "results"])
    def test_id_of_another_data_set_is_told(self, raw, tmp_path, refused, place):
        raw.add("Dataset001_Belly")
        (tmp_path / place / "Dataset900_Other").mkdir()
        message = refused(CT)
        assert f"id 900 is taken by Dataset900_Other in nnUNet_{place}={tmp_path / place}" in message

    def test_folder_that_no_merge_made_is_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        raw.add("Dataset900_All")
        assert "Dataset900_All exists and was not made by a merge" in refused(CT)

    def test_id_of_a_member_is_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        assert "id 1 is taken by Dataset001_Belly" in refused(CT, into=1)

    @pytest.mark.parametrize(
        ("members", "others", "difference"),
        [
            (
                (MemberSpecification(1, "PET", sampling_weight=4), HEART),
                {},
                "members.Dataset001_Belly.channels was [['CT', None]], is [['PET', None]], "
                "members.Dataset001_Belly.sampling_weight was None, is 4",
            ),
            ((CT,), {}, "members.Dataset002_Heart is left out now"),
            ((CT, HEART, MemberSpecification(3, "CT")), {}, "members.Dataset003_Head is new"),
            ((HEART, CT), {}, "the order of members"),
            (
                (CT, HEART),
                {"shared_tasks": {"liver": ["Belly/liver", "Heart/liver"]}},
                "shared_tasks.liver is new",
            ),
        ],
    )
    def test_another_merge_of_the_same_name_is_told_with_what_differs(
        self, raw, refused, members, others, difference, merge_members
    ):
        for name in ("Dataset001_Belly", "Dataset002_Heart", "Dataset003_Head"):
            raw.add(name)
        merge_members(CT, HEART)
        assert f"was made by another merge ({difference}): choose another" in refused(*members, **others)

    def test_raw_folder_that_cannot_be_written_is_told(self, raw, refused):
        raw.add("Dataset001_Belly")
        (raw.path / ".Dataset900_All.merging").touch()
        message = refused(CT)
        assert f"{raw.path}/.Dataset900_All.merging cannot be made (" in message
        assert f"make {raw.path} writable, or link the data sets into a folder of your own" in message

    def test_a_merge_that_runs_at_the_same_time_is_told(self, raw, refused, merge_members):
        raw.add("Dataset001_Belly")
        staging = raw.path / ".Dataset900_All.merging"
        staging.mkdir()
        with FileLock(staging / ".lock"):
            assert f"another merge is writing {staging}" in refused(CT)
        result = merge_members(CT)
        assert result.is_new
        assert not staging.exists()
        assert ".lock" not in [path.name for path in result.folder.iterdir()]

    def test_preprocessed_data_of_the_same_name_are_no_obstacle(self, raw, tmp_path, merge_members):
        raw.add("Dataset001_Belly")
        (tmp_path / "preprocessed" / "Dataset900_All").mkdir()
        assert merge_members(CT).is_new

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "ü"])
    def test_name_with_other_characters_is_told(self, refused, name):
        assert f"name '{name}' of the collection: use letters, digits, '_' and '-' only" in refused(CT, name=name)

    @pytest.mark.parametrize("into", [0, 1000, -1])
    def test_id_that_nnunet_does_not_know_is_told(self, refused, into):
        assert f"id of the collection {into}: give an id from 1 to 999" in refused(CT, into=into)

    @pytest.mark.parametrize("name", ["a/b", "a__b", "a_", ""])
    def test_member_name_that_cannot_be_in_a_file_name_is_told(self, name):
        with pytest.raises(HermesError, match=r"name of member 1 '.*': use letters"):
            MemberSpecification(1, "CT", name=name)


def test_weight_that_is_not_above_zero_is_told():
    with pytest.raises(HermesError, match="sampling_weight 0 of member 1: give a number above 0"):
        MemberSpecification(1, "CT", sampling_weight=0)


def test_processes_below_one_are_told(raw):
    raw.add("Dataset001_Belly")
    with pytest.raises(HermesError, match="0 processes: give at least 1"):
        merge(MergeSpecification(name="All", into=900, members=(CT,)), processes=0)


def test_problems_from_several_processes_are_told(raw):
    folder = raw.add("Dataset001_Belly")
    raw.write_label(folder, "b.nii.gz", [0, 9])
    before = raw.files()
    with pytest.raises(HermesError, match=r"b\.nii\.gz holds 9"):
        merge(MergeSpecification(name="All", into=900, members=(CT,)), processes=2)
    assert raw.files() == before


class TestMemory:
    def test_that_is_too_small_for_a_case_is_one_line_that_names_it(self, raw, merge_members, monkeypatch):
        folder = raw.add("Dataset001_Belly")
        monkeypatch.setattr(case_rewriting, "map_values", lambda *_: np.empty(2**58))
        with pytest.raises(HermesError) as error:
            merge_members(CT)
        assert str(error.value) == (
            f"{folder / 'labelsTr/a.nii.gz'}: memory ran out (2.00 EiB more were asked for): run it again with fewer "
            "--processes; finished cases are kept"
        )


class TestFullDisk:
    def test_is_one_line_and_the_next_merge_goes_on(self, raw, merge_members, monkeypatch):
        raw.add("Dataset001_Belly")
        write = case_rewriting.save_on_grid
        written = []

        def until_full(voxels, path, geometry):
            if len(written) == 3:
                raise OSError(28, "No space left on device")
            written.append(path)
            write(voxels, path, geometry)

        with monkeypatch.context() as context:
            context.setattr(case_rewriting, "save_on_grid", until_full)
            with pytest.raises(HermesError) as error:
                merge_members(CT)
        line = str(error.value)
        assert line.startswith(f"{raw.path / '.Dataset900_All.merging/labelsTr/Belly__d.nii.gz'} cannot be written")
        assert line.endswith("make room, or choose another folder, and run it again: finished cases are kept")
        assert "\n" not in line
        assert not (raw.path / "Dataset900_All").exists()
        again = []
        monkeypatch.setattr(case_rewriting, "save_on_grid", lambda *given: (again.append(given[1]), write(*given)))
        assert len(merge_members(CT).collection.cases) == 5
        assert [path.name for path in again] == ["Belly__d.nii.gz", "Belly__e.nii.gz"]
