import json
import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.viewer.scene import PREDICTION, REFERENCE
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import Reference, read_scene
from hermes_nnunet.insight.viewer.results import cases_of_results


def record(results, cases=("a", "b"), source="in"):
    """A run.json that says where the images are."""
    run = {"versions": {}, "device": "cpu", "model": {"path": "m"}, "made_by": {}, "options": {"spacing_from": None}}
    run |= {"input": str(results / source), "cases": {case: {} for case in cases}}
    (results / "out" / "run.json").write_text(json.dumps({"format_version": 1, "runs": [run]}))


class TestCases:
    def test_of_the_folders_that_are_given(self, results, scan):
        cases = cases_of_results(results / "out", results / "in", results / "ref")
        assert [case.name for case in cases] == ["a", "b"]
        assert [case.labels[0].name for case in cases] == [scan.MARKUP, scan.MARKUP]
        assert [case.image.files for case in cases] == [(results / "in" / f"{c}_0000.nii.gz",) for c in "ab"]
        assert [case.reference for case in cases] == [Reference(results / "ref" / "a.nii.gz"), None]
        assert [case.notes for case in cases] == [(), ()]
        assert cases[0].modality == "T1"

    def test_each_is_shown_as_the_modality_that_it_was_found_to_be(self, results, scan):
        path = results / "out" / "labels.json"
        content = json.loads(path.read_text())
        expected = [{scan.MARKUP: {"mean": mean, "deviation": 0.1, "cases": 3}} for mean in (0.8, 0.6)]
        content["passes"] = [
            {"modality": modality, "tasks": [scan.MARKUP], "expected_dice": dice}
            for modality, dice in zip(("CT", "T1"), expected, strict=True)
        ]
        found = {"probability": 0.9, "runner_up": None, "runner_up_probability": 0.0, "by": "image"}
        content["modalities"] = {"a": {"modality": "CT", **found}, "b": {"modality": "T1", **found}}
        path.write_text(json.dumps(content))
        cases = cases_of_results(results / "out", results / "in", None)
        assert [case.modality for case in cases] == ["CT", "T1"]
        assert [case.expected_dice[scan.MARKUP].mean for case in cases] == [0.8, 0.6]

    def test_images_are_where_the_record_says(self, results):
        record(results)
        cases = cases_of_results(results / "out", None, None)
        assert cases[1].image.files == (results / "in" / "b_0000.nii.gz",)

    def test_images_that_are_gone_are_named(self, results):
        record(results)
        (results / "in" / "b_0000.nii.gz").unlink()
        first, second = cases_of_results(results / "out", None, None)
        assert first.image is not None
        assert second.image is None
        assert second.notes == (f"The image is left out: {results / 'in'} has it no more; name its folder with -i.",)
        shutil.rmtree(results / "in")
        first, _ = cases_of_results(results / "out", None, None)
        assert f"{results / 'in'} does not exist" in first.notes[0]

    def test_without_a_record_they_are_asked_for(self, results):
        (case, _) = cases_of_results(results / "out", None, None)
        assert "run.json does not say where it is; name its folder with -i" in case.notes[0]

    def test_of_nnunets_own_prediction(self, results):
        (results / "out" / "labels.json").unlink()
        content = {
            "channel_names": {"0": "CT"},
            "file_ending": ".nii.gz",
            "labels": {"background": 0, "whole": [1, 2], "core": 2},
            "regions_class_order": [1, 2],
        }
        (results / "out" / "dataset.json").write_text(json.dumps(content))
        case = cases_of_results(results / "out", results / "in", None)[0]
        assert [(label.name, label.value, label.values) for label in case.labels] == [
            ("whole", 1, (1, 2)),
            ("core", 2, (2,)),
        ]
        assert case.modality == "CT"
        assert read_scene(case).segmentations[PREDICTION].counts() == {"whole": 144, "core": 0}

    def test_of_masks(self, results, scan):
        for case in ("a", "b"):
            (results / "out" / f"{case}.nii.gz").unlink()
            scan.write(results / "out" / case / "m__one.nii.gz", scan.labels())
            scan.write(results / "out" / case / "m__two.nii.gz", scan.labels())
        labels = [
            {"name": f"m/{n}", "value": 1, "values": [1], "member": "m", "colour": "#00ff00", "file": f"m__{n}.nii.gz"}
            for n in ("one", "two")
        ]
        content = {
            "format_version": 1,
            "labels": labels,
            "passes": [{"modality": "CT", "tasks": []}, {"modality": "T1", "tasks": []}],
        }
        (results / "out" / "labels.json").write_text(json.dumps(content))
        cases = cases_of_results(results / "out", results / "in", None)
        assert [case.name for case in cases] == ["a", "b"]
        assert cases[0].modality == "unknown"
        layers = read_scene(cases[0]).segmentations[PREDICTION]
        assert layers.counts() == {"m/one": 144, "m/two": 144}
        assert len(layers.volumes) == 2

    def test_of_the_masks_that_each_case_has(self, results, scan):
        for case, task in (("a", "one"), ("b", "two")):
            (results / "out" / f"{case}.nii.gz").unlink()
            scan.write(results / "out" / case / f"m__{task}.nii.gz", scan.labels())
        (results / "out" / "neither").mkdir()
        labels = [
            {"name": f"m/{n}", "value": 1, "values": [1], "member": "m", "colour": "#00ff00", "file": f"m__{n}.nii.gz"}
            for n in ("one", "two")
        ]
        passes = [{"modality": "CT", "tasks": ["m/one"]}, {"modality": "T1", "tasks": ["m/two"]}]
        (results / "out" / "labels.json").write_text(
            json.dumps({"format_version": 1, "labels": labels, "passes": passes})
        )
        cases = cases_of_results(results / "out", results / "in", None)
        assert [(case.name, [label.name for label in case.labels]) for case in cases] == [
            ("a", ["m/one"]),
            ("b", ["m/two"]),
        ]
        assert [read_scene(case).segmentations[PREDICTION].counts() for case in cases] == [
            {"m/one": 144},
            {"m/two": 144},
        ]

    def test_of_several_label_maps_the_one_that_the_prediction_wrote(self, results, scan):
        (results / "out" / "a.seg.nrrd").write_text("another's")
        path = results / "out" / "labels.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "files": {"a": [".nii.gz"]}}))
        cases = cases_of_results(results / "out", results / "in", None)
        assert {case.name: case.prediction.name for case in cases}["a"] == "a.nii.gz"


class TestReferences:
    """A data set's own values are others than those of tasks of a collection, so tasks are found by their names."""

    @pytest.fixture
    def compared(self, results, scan):
        """A function that gives the shown first case, for names of the tasks in OUT (values 1, 2) and of LABELS."""

        def show(tasks, labels, values, place="ref", **more):
            path = results / "out" / "labels.json"
            content = json.loads(path.read_text())
            entries = enumerate(tasks, start=1)
            content["labels"] = [
                {"name": name, "value": value, "values": [value], "member": "m", "colour": "#00ff00"}
                for value, name in entries
            ]
            path.write_text(json.dumps(content))
            dataset = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "labels": {"background": 0, **labels}}
            (results / place / "dataset.json").write_text(json.dumps({**dataset, **more}))
            scan.write(results / "ref" / "a.nii.gz", values)
            return read_scene(cases_of_results(results / "out", results / "in", results / "ref")[0])

        return show

    @pytest.mark.parametrize("place", ["ref", "."])
    @pytest.mark.parametrize(("task", "label"), [("m/liver", "liver"), ("liver", "liver"), ("m/a/b", "a/b")])
    def test_are_compared_by_name_whatever_the_values(self, compared, scan, task, label, place):
        scene = compared([task, "m/spleen"], {"spleen": 1, label: 5}, 5 * scan.labels(), place)
        assert scene.dice[task] == 1
        assert np.isnan(scene.dice["m/spleen"])
        assert scene.segmentations[REFERENCE].counts() == {task: 144, "m/spleen": 0}

    def test_of_regions_all_values_count(self, compared, scan):
        values = scan.labels()
        values[scan.BLOCK] = 3
        values[8] *= 2  # 6, a value of the region, too
        scene = compared(["m/whole"], {"whole": [3, 6], "core": 6}, values, regions_class_order=[3, 6])
        assert scene.dice == {"m/whole": 1}

    def test_a_task_that_is_not_labelled_has_none(self, compared, scan):
        scene = compared(["m/liver", "m/kidney"], {"liver": 5}, 5 * scan.labels())
        assert scene.dice == {"m/liver": 1}
        liver, kidney = scene.to_json()["tasks"]
        assert liver["reference"]["volume_ml"] == liver["prediction"]["volume_ml"] > 0
        assert (kidney["reference"], kidney["dice"]) == (None, None)

    def test_ignored_voxels_are_compared_with_nothing(self, compared, scan):
        values = scan.labels()
        values[8] *= 9  # a quarter of the block
        scene = compared(["m/liver"], {"liver": 1, "ignore": 9}, values)
        assert scene.dice == {"m/liver": 1}
        assert scene.segmentations[PREDICTION].counts() == {"m/liver": 144}

    def test_of_other_tasks_are_refused(self, compared, scan, results):
        with pytest.raises(HermesError, match=r"names heart, and .*out holds m/liver: give label maps of"):
            compared(["m/liver"], {"heart": 1}, scan.labels())

    def test_another_folder_of_results_is_one(self, results, scan):
        shutil.copytree(results / "out", results / "other")
        scan.write(results / "other" / "a.nii.gz", 2 * scan.labels())
        path = results / "other" / "labels.json"
        content = json.loads(path.read_text())
        content["labels"][0] |= {"value": 2, "values": [2]}
        path.write_text(json.dumps(content))
        case, _ = cases_of_results(results / "out", results / "in", results / "other")
        assert read_scene(case).dice == {scan.MARKUP: 1}

    def test_a_damaged_table_is_told(self, results):
        (results / "dataset.json").write_text("{}")
        with pytest.raises(HermesError, match=r"dataset\.json.*: mend it, or move the label maps"):
            cases_of_results(results / "out", results / "in", results / "ref")


class TestScene:
    def test_is_in_the_order_that_people_look_at(self, shown, scan):
        scene = read_scene(shown)
        expected = np.zeros((24, 20, 14), bool)
        # The second axis of the file goes to the left, the third to the back, the first to the head.
        expected[24 - 9 : 24 - 3, 20 - 8 : 20 - 2, 8:12] = True
        np.testing.assert_array_equal(scene.segmentations[PREDICTION].mask(scan.MARKUP), expected)
        np.testing.assert_array_equal(scene.image == 200, expected)
        place = nibabel.affines.apply_affine(scene.affine, np.argwhere(expected).mean(0))
        in_file = np.array([np.mean([side.start, side.stop - 1]) for side in scan.BLOCK])
        np.testing.assert_allclose(place, nibabel.affines.apply_affine(scan.AFFINE, in_file))

    def test_measures_what_it_shows(self, shown, scan):
        scene = read_scene(shown)
        assert scene.dice == {scan.MARKUP: 1.0}
        (task,) = scene.to_json()["tasks"]
        assert task["prediction"]["volume_ml"] == pytest.approx(144 * 15 / 1000)
        assert read_scene(replace(shown, dice={scan.MARKUP: 0.5})).dice == {scan.MARKUP: 0.5}

    def test_stored_voxels_keep_their_slope(self, shown, results, scan):
        image = nibabel.Nifti1Image(scan.image(), scan.AFFINE)
        image.header.set_slope_inter(2, -100)
        nibabel.save(image, results / "in" / "a_0000.nii.gz")
        scene = read_scene(shown)
        assert scene.image.dtype == np.int16
        shown_image = nibabel.Nifti1Image.from_bytes(scene.part("image")).get_fdata()
        np.testing.assert_allclose(
            sorted(set(shown_image.ravel())),
            sorted(set(nibabel.load(results / "in" / "a_0000.nii.gz").get_fdata().ravel())),
        )


class TestProblems:
    def test_an_image_of_another_geometry_is_left_out(self, shown, results, scan):
        scan.write(results / "in" / "a_0000.nii.gz", scan.image()[:, :, :-1])
        scene = read_scene(shown)
        assert scene.image is None
        assert "has shape (14, 24, 19)" in scene.notes[0]
        assert scene.notes[0].startswith("The image is left out: ")
        assert scene.segmentations[REFERENCE].counts() == {scan.MARKUP: 144}

    def test_an_image_in_another_place_is_left_out(self, shown, results, scan):
        scan.write(results / "in" / "a_0000.nii.gz", scan.image(), scan.AFFINE + np.diag([0, 0, 0.5, 0]))
        assert "differ by 0.5 mm" in read_scene(shown).notes[0]

    def test_an_image_that_is_gone_is_left_out(self, shown, results):
        (results / "in" / "a_0000.nii.gz").unlink()
        scene = read_scene(shown)
        assert "a_0000.nii.gz" in scene.notes[0]
        assert scene.part("image")

    def test_a_reference_of_another_geometry_is_left_out(self, shown, results, scan):
        scan.write(results / "ref" / "a.nii.gz", np.zeros((3, 3, 3), np.uint8))
        scene = read_scene(shown)
        assert list(scene.segmentations) == [PREDICTION]
        assert scene.notes[0].startswith("The reference is left out: ")
        assert scene.dice == {}

    def test_a_folder_with_nothing_to_see(self, results):
        for path in (results / "out").glob("*.nii.gz"):
            path.unlink()
        with pytest.raises(HermesError, match="out holds no segmentation to see"):
            cases_of_results(results / "out", None, None)

    def test_a_folder_without_a_table_of_its_values(self, results):
        with pytest.raises(HermesError, match=r"in has neither labels\.json nor dataset\.json"):
            cases_of_results(results / "in", None, None)

    def test_images_of_other_cases(self, results, scan):
        scan.write(results / "others" / "c_0000.nii.gz", scan.image())
        with pytest.raises(HermesError, match="others holds no image of a case in"):
            cases_of_results(results / "out", results / "others", None)
        with pytest.raises(HermesError, match="others holds no label map of a case"):
            cases_of_results(results / "out", None, results / "others")
        with pytest.raises(HermesError, match="nowhere is not a folder"):
            cases_of_results(results / "out", None, results / "nowhere")

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ({"colour": "green"}, " is damaged"),
            ({"values": 1}, r": labels\[0\]\.values must be a list"),
            ({"file": "../../secret.nii.gz"}, " names a file of another folder"),
            ({"name": None}, r": labels\[0\]\.name must be text"),
        ],
    )
    def test_a_damaged_table(self, results, entry, says):
        path = results / "out" / "labels.json"
        content = json.loads(path.read_text())
        content["labels"][0] |= entry
        path.write_text(json.dumps(content))
        with pytest.raises(HermesError, match=f"labels.json{says}"):
            cases_of_results(results / "out", None, None)

    def test_a_table_of_another_version(self, results):
        path = results / "out" / "labels.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 7}))
        with pytest.raises(HermesError, match="has format version 7"):
            cases_of_results(results / "out", None, None)
