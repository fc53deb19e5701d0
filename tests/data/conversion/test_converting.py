import gzip
import json
import os
import shutil
from dataclasses import replace
from unittest.mock import Mock

import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.data.conversion import NiftiVolume, SourceCase, converting
from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.errors import HermesError

EVERY_VALUE = [0, 2, 7, 9]


def refusal(call) -> str:
    with pytest.raises(HermesError) as error:
        call()
    return str(error.value)


class TestImages:
    def test_are_copied_byte_for_byte(self, toy, toy_source, converted):
        folder = converted(toy()).folder
        copied = folder / "imagesTr/a1_0000.nii.gz"
        assert not copied.is_symlink()
        assert copied.read_bytes() == (toy_source.path / "a1.nii.gz").read_bytes()

    def test_are_linked_where_asked(self, toy, toy_source, converted):
        folder = converted(toy(), link=True).folder
        assert (folder / "imagesTr/a1_0000.nii.gz").readlink() == toy_source.path / "a1.nii.gz"
        assert not (folder / "labelsTr/a1.nii.gz").is_symlink()

    def test_that_are_not_compressed_are_compressed_and_nothing_else(self, toy, toy_source, converted):
        (toy_source.path / "a1.nii.gz").unlink()
        published = toy_source.image("a1.nii")
        written = converted(toy(), link=True).folder / "imagesTr/a1_0000.nii.gz"
        assert not written.is_symlink()
        assert gzip.decompress(written.read_bytes()) == published.read_bytes()

    def test_of_four_dimensions_become_a_file_a_channel_with_voxels_as_stored(self, toy, source, converted, affines):
        stored = np.random.default_rng(3).integers(-500, 500, (6, 5, 4, 2)).astype(np.int16)
        published = nibabel.Nifti1Image(stored, affines["oblique"])
        published.header.set_slope_inter(0.5, 10)
        for case in ("a1", "b1"):
            source.label(f"{case}_seg.nii.gz", EVERY_VALUE)
            nibabel.save(published, source.path / f"{case}.nii.gz")
        published = nibabel.load(source.path / "a1.nii.gz")
        two = replace(
            toy(),
            channels=("T2", "ADC"),
            find_cases=lambda folder: [
                SourceCase(
                    name=case,
                    images=tuple(NiftiVolume(folder / f"{case}.nii.gz", channel) for channel in range(2)),
                    label=NiftiVolume(folder / f"{case}_seg.nii.gz"),
                )
                for case in ("a1", "b1")
            ],
        )
        result = converted(two)
        for channel in range(2):
            written = nibabel.load(result.folder / f"imagesTr/a1_{channel:04d}.nii.gz")
            assert written.shape == (6, 5, 4)
            assert written.get_data_dtype() == published.get_data_dtype()
            assert written.dataobj.slope == published.dataobj.slope
            np.testing.assert_array_equal(written.affine, published.affine)
            np.testing.assert_array_equal(
                np.asanyarray(written.dataobj), np.asanyarray(published.dataobj)[..., channel]
            )
        assert result.json("dataset.json")["channel_names"] == {"0": "T2", "1": "ADC"}

        chosen = converted(two, 12, channels=["ADC"])
        assert chosen.json("dataset.json")["channel_names"] == {"0": "ADC"}
        assert chosen.names("imagesTr") == ["a1_0000.nii.gz", "b1_0000.nii.gz"]
        np.testing.assert_array_equal(
            chosen.voxels("imagesTr/a1_0000.nii.gz"), result.voxels("imagesTr/a1_0001.nii.gz")
        )

    def test_of_a_channel_that_is_not_there_are_refused(self, toy, toy_source, converted):
        assert refusal(lambda: converted(toy(), channels=["Ct"])) == (
            "toy has no channel 'Ct' (did you mean 'CT'?): it has CT"
        )

    @pytest.mark.parametrize("direction", ["RAS", "LPS", "LPI", "oblique"])
    def test_and_labels_lie_where_they_lay_for_other_software(self, toy, source, converted, affines, direction):
        for case in ("a1", "b1"):
            source.image(f"{case}.nii.gz", affines[direction])
            source.label(f"{case}_seg.nii.gz", EVERY_VALUE, affines[direction])
        folder = converted(toy()).folder
        published = SimpleITK.ReadImage(str(source.path / "a1.nii.gz"))
        label = SimpleITK.ReadImage(str(source.path / "a1_seg.nii.gz"))
        for written, original in (("imagesTr/a1_0000.nii.gz", published), ("labelsTr/a1.nii.gz", label)):
            read = SimpleITK.ReadImage(str(folder / written))
            assert read.GetDirection() == original.GetDirection()
            assert read.GetOrigin() == original.GetOrigin()
            assert read.GetSpacing() == original.GetSpacing()
        image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "imagesTr/a1_0000.nii.gz")))
        np.testing.assert_array_equal(image, SimpleITK.GetArrayFromImage(published))
        mapped = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "labelsTr/a1.nii.gz")))
        np.testing.assert_array_equal(mapped == 2, SimpleITK.GetArrayFromImage(label) == 2)
        np.testing.assert_array_equal(mapped == 1, SimpleITK.GetArrayFromImage(label) == 7)
        assert set(np.unique(mapped)) == {0, 1, 2}


class TestLabels:
    def test_are_mapped_by_name_to_consecutive_bytes(self, toy, toy_source, converted):
        result = converted(toy())
        published = np.asanyarray(nibabel.load(toy_source.path / "a1_seg.nii.gz").dataobj)
        mapped = result.voxels("labelsTr/a1.nii.gz")
        assert mapped.dtype == np.uint8
        np.testing.assert_array_equal(mapped, np.select([published == 7, published == 2], [1, 2], 0))
        assert result.json("dataset.json")["labels"] == {"background": 0, "spleen": 1, "liver": 2}

    def test_may_be_stored_as_floats(self, toy, toy_source, converted):
        toy_source.label("a1_seg.nii.gz", EVERY_VALUE, dtype=np.float64)
        assert converted(toy()).voxels("labelsTr/a1.nii.gz").dtype == np.uint8

    def test_get_the_images_header_where_it_differs_by_rounding(self, toy, toy_source, converted, affines):
        off = affines["oblique"] + 0
        off[0, 3] += 5e-4
        toy_source.label("a1_seg.nii.gz", EVERY_VALUE, off)
        result = converted(toy())
        assert result.result.mended == ["a1"]
        image = nibabel.load(result.folder / "imagesTr/a1_0000.nii.gz")
        label = nibabel.load(result.folder / "labelsTr/a1.nii.gz")
        np.testing.assert_array_equal(label.affine, image.affine)
        for field in ("qform_code", "sform_code", "srow_x", "quatern_b", "qoffset_z", "pixdim"):
            np.testing.assert_array_equal(label.header[field], image.header[field])


class TestParts:
    def test_follow_the_lists(self, toy, toy_source, lists, converted):
        result = converted(toy(lists=lists))
        assert result.names("imagesTr") == ["a1_0000.nii.gz", "a2_0000.nii.gz", "b1_0000.nii.gz"]
        assert result.names("labelsTr") == ["a1.nii.gz", "a2.nii.gz", "b1.nii.gz"]
        assert result.names("imagesTs") == ["c1_0000.nii.gz"]
        assert result.names("labelsTs") == ["c1.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["a1", "a2"], "val": ["b1"]}]
        assert result.json("dataset.json")["numTraining"] == 3

    def test_are_all_training_in_five_folds_by_patient_where_asked(self, toy, source, lists, converted):
        cases = [f"{patient}{number}" for patient in "abcdef" for number in (1, 2)]
        for case in cases:
            source.image(f"{case}.nii.gz")
            source.label(f"{case}_seg.nii.gz", EVERY_VALUE)
        result = converted(toy(lists=lists), all_training=True)
        assert result.names("imagesTr") == [f"{case}_0000.nii.gz" for case in cases]
        assert result.names("imagesTs") == []
        folds = result.json("splits_final.json")
        assert len(folds) == 5
        for fold in folds:
            assert sorted(fold["train"] + fold["val"]) == cases
            assert not {case[0] for case in fold["train"]} & {case[0] for case in fold["val"]}

    def test_are_the_same_folds_another_time(self, toy, toy_source, converted):
        assert converted(toy(), 11).json("splits_final.json") == converted(toy(), 12).json("splits_final.json")

    def test_leave_out_what_the_lists_do_not_name(self, toy, toy_source, lists, converted):
        toy_source.image("z9.nii.gz")
        toy_source.label("z9_seg.nii.gz", EVERY_VALUE)
        result = converted(toy(lists=lists))
        assert [case.name for case in result.result.parts.unlisted] == ["z9"]
        assert "z9_0000.nii.gz" not in result.names("imagesTr") + result.names("imagesTs")

    def test_put_images_without_label_to_the_test_images(self, toy, toy_source, lists, converted):
        toy_source.image("test/t1.nii.gz")
        for number, converter in enumerate((toy(), toy(lists=lists)), start=11):
            result = converted(converter, number)
            assert "t1_0000.nii.gz" in result.names("imagesTs")
            assert "t1.nii.gz" not in result.names("labelsTs")

    def test_without_validation_cases_are_refused_before_anything_is_written(
        self, toy, toy_source, lists, converted, raw
    ):
        (toy_source.path / "b1.nii.gz").unlink()
        (toy_source.path / "b1_seg.nii.gz").unlink()
        assert refusal(lambda: converted(toy(lists=lists))) == (
            "toy: no case of the paper's val list can be used: complete the download, or use --all-training for folds "
            "of all cases that are there"
        )
        assert list(raw.iterdir()) == []

    def test_name_the_missing(self, toy, toy_source, lists, converted):
        (toy_source.path / "c1.nii.gz").unlink()
        (toy_source.path / "c1_seg.nii.gz").unlink()
        assert converted(toy(lists=lists)).result.missing == ["c1"]


class TestDatasetJson:
    def test_says_where_the_data_come_from(self, toy, toy_source, converted):
        content = converted(toy()).json("dataset.json")
        assert content == {
            "name": "A toy",
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "spleen": 1, "liver": 2},
            "numTraining": 4,
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "NibabelIOWithReorient",
            "licence": "CC0",
            "reference": "Nobody, nowhere",
            "release": "1",
            "converted_by": content["converted_by"],
        }
        assert content["converted_by"].endswith(", toy")

    def test_lies_in_a_folder_of_the_converters_name_or_the_users(self, toy, toy_source, converted):
        assert converted(toy(), 3).folder.name == "Dataset003_Toy"
        assert converted(toy(), 4, name="Mine").folder.name == "Dataset004_Mine"


class TestBrokenCases:
    """Every kind is named in one line before anything is written, or left out where the user says so."""

    def _break(self, toy_source, kind: str, affines) -> None:
        folder = toy_source.path
        if kind == "label missing":
            (folder / "a1_seg.nii.gz").unlink()
        elif kind == "image missing":
            (folder / "a1.nii.gz").unlink()
        elif kind == "header cut":
            (folder / "a1.nii.gz").write_bytes((folder / "a1.nii.gz").read_bytes()[:40])
        elif kind == "no NIfTI":
            (folder / "a1.nii.gz").write_bytes(gzip.compress(b"nothing of the kind" * 100))
        elif kind == "other shape":
            toy_source.label("a1_seg.nii.gz", EVERY_VALUE, shape=(6, 5, 3))
        elif kind == "other place":
            toy_source.label("a1_seg.nii.gz", EVERY_VALUE, affines["RAS"])
        elif kind == "four dimensions":
            toy_source.image("a1.nii.gz", shape=(6, 5, 4, 3))

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("label missing", "a1.nii.gz has no label beside it"),
            ("image missing", "a1_seg.nii.gz has no image beside it"),
            ("header cut", "a1.nii.gz cannot be read ("),
            ("no NIfTI", "a1.nii.gz cannot be read ("),
            ("other shape", "a1_seg.nii.gz has shape (6, 5, 3), not the (6, 5, 4) of "),
            ("other place", "a1_seg.nii.gz lies 112.2 mm (allowed 0.02 mm) off the grid of "),
            ("four dimensions", "a1.nii.gz has shape (6, 5, 4, 3): expected three dimensions"),
        ],
    )
    def test_that_headers_tell_are_refused_before_anything_is_written(
        self, toy, toy_source, lists, converted, raw, affines, kind, message
    ):
        self._break(toy_source, kind, affines)
        text = refusal(lambda: converted(toy(lists=lists)))
        assert text.startswith(f"case a1: {toy_source.path}/")
        assert message in text
        assert text.endswith("(nothing was written; --skip-broken leaves broken cases out)")
        assert "\n" not in text
        assert list(raw.iterdir()) == []

        result = converted(toy(lists=lists), skip_broken=True)
        assert result.names("imagesTr") == ["a2_0000.nii.gz", "b1_0000.nii.gz"]
        assert result.names("labelsTr") == ["a2.nii.gz", "b1.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["a2"], "val": ["b1"]}]
        assert result.json("dataset.json")["numTraining"] == 2
        assert message in result.json("conversion.json")["left_out"]["a1"]
        assert list(result.result.left_out) == ["a1"]
        assert result.result.missing == []

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("unknown value", "a1_seg.nii.gz holds the values 3, known are 0, 2, 7, 9"),
            ("fraction", "a1_seg.nii.gz holds the values 1.5, known are 0, 2, 7, 9"),
            ("empty label", "a1_seg.nii.gz labels nothing: all voxels are background"),
            ("only what is left out", "a1_seg.nii.gz labels nothing: all voxels are background"),
            ("image cut", "a1.nii.gz cannot be read (EOFError: "),
            ("label cut", "a1_seg.nii.gz cannot be read (EOFError: "),
            ("NaN", "a1.nii.gz holds NaN or infinite voxels"),
        ],
    )
    def test_that_voxels_tell_leave_no_files(self, toy, toy_source, lists, converted, kind, message):
        contents = {
            "unknown value": [0, 2, 3],
            "fraction": [0, 1.5],
            "empty label": [0],
            "only what is left out": [0, 9],
        }
        if kind in contents:
            toy_source.label("a1_seg.nii.gz", contents[kind], dtype=np.float32 if kind == "fraction" else np.uint8)
        elif kind == "NaN":
            toy_source.write("a1.nii.gz", np.full((6, 5, 4), np.nan, np.float32))
        else:
            path = toy_source.path / ("a1.nii.gz" if kind == "image cut" else "a1_seg.nii.gz")
            # Not what compresses well, so that the header alone is whole.
            voxels = np.random.default_rng(0).integers(0, 1000, (30, 30, 30)).astype(np.int16)
            for name in ("a1.nii.gz", "a1_seg.nii.gz"):
                toy_source.write(name, voxels if name == path.name else voxels * 0 + 2)
            path.write_bytes(path.read_bytes()[:-5000])
        text = refusal(lambda: converted(toy(lists=lists)))
        assert text.startswith(f"case a1: {toy_source.path}/{message}")
        assert text.endswith(
            "(all other cases are written: mend these and run it again; --skip-broken leaves broken cases out)"
        )

        result = converted(toy(lists=lists), skip_broken=True)
        assert result.names("imagesTr") == ["a2_0000.nii.gz", "b1_0000.nii.gz"]
        assert result.names("labelsTr") == ["a2.nii.gz", "b1.nii.gz"]
        assert result.json("splits_final.json") == [{"train": ["a2"], "val": ["b1"]}]

    def test_of_a_set_that_allows_it_may_label_nothing(self, toy, toy_source, converted):
        toy_source.label("a1_seg.nii.gz", [0])
        assert not converted(toy(may_be_empty=True)).voxels("labelsTr/a1.nii.gz").any()

    def test_are_counted_where_they_are_many(self, toy, source, converted):
        for number in range(12):
            source.image(f"a{number % 10}.nii.gz") if number < 10 else source.image(f"b{number % 10}.nii.gz")
        lines = refusal(lambda: converted(toy())).splitlines()
        assert lines[0].startswith("12 broken cases, the first 10 (nothing was written; ")
        assert len(lines) == 11

    def test_with_the_name_of_another_are_refused(self, toy, toy_source, converted):
        twice = toy(find_cases=lambda folder: 2 * [SourceCase("a1", (NiftiVolume(folder / "a1.nii.gz"),), None)])
        assert refusal(lambda: converted(twice)) == "two cases have the name a1: remove one from the folder"

    def test_with_a_name_that_is_no_file_name_are_refused(self, toy, toy_source, converted):
        odd = toy(find_cases=lambda folder: [SourceCase("a b", (NiftiVolume(folder / "a1.nii.gz"),), None)])
        assert "case a b: its name must consist of letters, digits and . _ + -" in refusal(lambda: converted(odd))


class TestSecondRun:
    def _times(self, folder) -> dict[str, int]:
        return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.glob("*s*/*.nii.gz")}

    def test_writes_nothing_where_all_is_done(self, toy, toy_source, converted):
        first = converted(toy())
        times = self._times(first.folder)
        second = converted(toy())
        assert (first.result.written, second.result.written) == (4, 0)
        assert self._times(second.folder) == times

    def test_goes_on_after_a_kill_between_cases(self, toy, toy_source, converted, raw, monkeypatch):
        original = converting.write_case
        done = []

        def killed(task):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(task.case.name)
            return original(task)

        with monkeypatch.context() as context:
            context.setattr(converting, "write_case", killed)
            with pytest.raises(KeyboardInterrupt):
                converted(toy())
        assert not (raw / "Dataset011_Toy/dataset.json").exists()
        result = converted(toy())
        assert done == ["a1", "a2"]
        assert result.result.written == 2
        assert result.names("labelsTr") == ["a1.nii.gz", "a2.nii.gz", "b1.nii.gz", "c1.nii.gz"]

    def test_takes_away_what_a_kill_left_half_written(self, toy, toy_source, converted):
        folder = converted(toy()).folder
        left = folder / "imagesTr/.writing-abc.nii.gz"
        left.write_bytes(b"half")
        remove_leftovers.cache_clear()  # as in another process
        converted(toy())
        assert not left.exists()

    @pytest.mark.parametrize("seconds", [1, -1, -(10**9)])
    def test_writes_a_case_again_that_has_changed_whatever_its_time(self, toy, toy_source, converted, seconds):
        converted(toy())
        self._replace_label(toy_source, [0, 7], seconds)
        result = converted(toy())
        assert (result.result.written, result.result.replaced) == (1, ["a1"])
        assert np.unique(result.voxels("labelsTr/a1.nii.gz")).tolist() == [0, 1]
        assert (
            "written again, since conversion.json did not say that they were made from the files that SOURCE holds "
            "now: 1 cases: a1"
        ) in result_lines(result.result)
        assert converted(toy()).result.written == 0

    def test_writes_all_again_where_published_values_mean_other_labels(self, toy, toy_source, converted):
        before = converted(toy()).voxels("labelsTr/a1.nii.gz")
        other = converted(toy(values={2: "spleen", 7: "liver", 9: None}))
        assert other.result.written == 4
        np.testing.assert_array_equal(other.voxels("labelsTr/a1.nii.gz"), np.array([0, 2, 1])[before])

    def test_writes_a_case_again_that_is_another_volume_of_its_file(self, toy, source, converted):
        stored = np.random.default_rng(3).integers(-500, 500, (6, 5, 4, 2)).astype(np.int16)
        for case in ("a1", "b1"):
            source.write(f"{case}.nii.gz", stored)
            source.label(f"{case}_seg.nii.gz", EVERY_VALUE)

        def at(index):
            return toy(
                find_cases=lambda folder: [
                    SourceCase(
                        name=case,
                        images=(NiftiVolume(folder / f"{case}.nii.gz", index),),
                        label=NiftiVolume(folder / f"{case}_seg.nii.gz"),
                    )
                    for case in ("a1", "b1")
                ]
            )

        converted(at(0))
        np.testing.assert_array_equal(converted(at(1)).voxels("imagesTr/a1_0000.nii.gz"), stored[..., 1])

    def test_writes_all_again_that_a_release_wrote_which_compared_times_only(self, toy, toy_source, converted):
        first = converted(toy())
        record = first.json("conversion.json")
        del record["made_from"]
        (first.folder / "conversion.json").write_text(json.dumps(record))
        assert converted(toy()).result.replaced == ["a1", "a2", "b1", "c1"]
        assert converted(toy()).result.written == 0

    def test_does_not_keep_after_a_kill_what_was_made_from_something_else(
        self, toy, toy_source, converted, monkeypatch
    ):
        converted(toy())
        self._replace_label(toy_source, [0, 7], -1)
        with monkeypatch.context() as context:
            context.setattr(converting, "write_case", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                converted(toy())
        result = converted(toy())
        assert result.result.written == 1
        assert np.unique(result.voxels("labelsTr/a1.nii.gz")).tolist() == [0, 1]

    def test_refuses_a_record_that_is_damaged(self, toy, toy_source, converted):
        first = converted(toy())
        record = first.json("conversion.json")
        record["made_from"]["a1"] = 3
        (first.folder / "conversion.json").write_text(json.dumps(record))
        assert refusal(lambda: converted(toy())) == (
            f"{first.folder / 'conversion.json'}: made_from.a1 must be text, not 3: choose another -d, or remove "
            f"{first.folder}"
        )

    def _replace_label(self, toy_source, values, seconds):
        before = (toy_source.path / "a1_seg.nii.gz").stat().st_mtime_ns
        path = toy_source.label("a1_seg.nii.gz", values)
        os.utime(path, ns=(0, before + seconds * 10**9))

    def test_removes_the_files_of_a_case_that_has_become_broken(self, toy, toy_source, converted):
        folder = converted(toy()).folder
        self._replace_label(toy_source, [0, 3], 1)
        assert "holds the values 3" in refusal(lambda: converted(toy()))
        assert not (folder / "dataset.json").exists()
        assert not (folder / "labelsTr/a1.nii.gz").exists()
        assert not (folder / "imagesTr/a1_0000.nii.gz").exists()

    def test_refuses_files_of_cases_that_are_gone(self, toy, toy_source, converted):
        folder = converted(toy()).folder
        (toy_source.path / "a1.nii.gz").unlink()
        (toy_source.path / "a1_seg.nii.gz").unlink()
        assert refusal(lambda: converted(toy())) == (
            f"{folder / 'imagesTr/a1_0000.nii.gz'} is of a case that the source does not hold any more: remove it, or "
            f"all of {folder}"
        )

    def test_with_other_settings_is_refused(self, toy, toy_source, lists, converted):
        folder = converted(toy(lists=lists)).folder
        assert refusal(lambda: converted(toy(lists=lists), all_training=True)) == (
            f"{folder} was made with all_training False, not True: choose another -d, or remove {folder}"
        )


class TestRefusals:
    def test_of_a_source_that_is_no_folder(self, toy, source, converted):
        missing = source.path / "nowhere"
        assert refusal(lambda: converted(toy(), folder=missing)) == (
            f"{missing} is not a folder: give the folder of the downloaded data set"
        )

    def test_of_an_id_that_is_taken(self, toy, toy_source, converted, raw):
        (raw / "Dataset011_Other").mkdir()
        assert refusal(lambda: converted(toy())) == (
            f"the id 11 belongs to {raw / 'Dataset011_Other'}: choose another -d"
        )

    def test_of_a_data_set_of_this_name_that_was_not_converted(self, toy, toy_source, converted, raw):
        (raw / "Dataset011_Toy").mkdir()
        (raw / "Dataset011_Toy" / "notes.txt").write_text("mine")
        assert refusal(lambda: converted(toy())).startswith(f"{raw / 'Dataset011_Toy/conversion.json'} does not exist")

    @pytest.mark.parametrize("number", [0, 1000])
    def test_of_an_id_out_of_range(self, toy, toy_source, converted, number):
        assert refusal(lambda: converted(toy(), number)) == (f"-d {number}: give an id from 1 to 999")

    def test_of_an_option_that_the_set_does_not_take(self, toy, toy_source, converted):
        assert refusal(lambda: converted(toy(), options={"priority": ["liver"]})) == (
            "toy takes no --priority: leave it out"
        )

    def test_of_a_raw_folder_that_cannot_be_written(self, toy, toy_source, converted, raw, monkeypatch):
        def denied(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("pathlib.Path.mkdir", denied)
        folder = raw / "Dataset011_Toy"
        assert refusal(lambda: converted(toy())) == (
            f"{folder} cannot be made (Permission denied): make {raw} writable"
        )

    def test_of_a_source_that_holds_the_raw_folder(self, toy, converted, raw):
        assert refusal(lambda: converted(toy(), folder=raw.parent)) == (
            f"{raw.parent} holds nnUNet_raw={raw} too: give the folder of the downloaded data set alone"
        )

    def test_of_a_name_that_is_no_folder_name(self, toy, toy_source, converted):
        assert refusal(lambda: converted(toy(), name="my set")).startswith("--name 'my set': use letters, digits")

    def test_of_a_full_disk_although_broken_cases_are_skipped(self, toy, toy_source, converted, raw, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as context:
            context.setattr("hermes_nnunet.data.conversion.volumes.shutil.copyfile", full)
            line = refusal(lambda: converted(toy(), skip_broken=True))
        assert line.startswith(f"{raw / 'Dataset011_Toy'}/imagesTr/")
        assert ".nii.gz cannot be written, since its disk is full (" in line
        assert line.endswith("make room, or choose another folder, and run it again: finished cases are kept")
        assert converted(toy()).result.written == 4


class TestProcesses:
    def test_do_not_change_the_result(self, toy, toy_source, converted, lists):
        one = converted(toy(lists=lists), 11)
        two = converted(toy(lists=lists), 12, processes=2)
        for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
            assert one.names(part) == two.names(part)
            for name in one.names(part):
                assert (one.folder / part / name).read_bytes() == (two.folder / part / name).read_bytes()

    def test_leave_the_source_as_it_is(self, toy, toy_source, converted, tmp_path):
        shutil.copytree(toy_source.path, tmp_path / "before")
        converted(toy(), link=True)
        for path in (tmp_path / "before").iterdir():
            assert path.read_bytes() == (toy_source.path / path.name).read_bytes()
