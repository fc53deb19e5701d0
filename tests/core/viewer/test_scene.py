import base64
import gzip
import json
import math
import re
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.layers import layers_of_label_map
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.viewer.page import served_page, whole_page
from hermes_nnunet.core.viewer.scene import PREDICTION, REFERENCE, Scene, as_small

NASTY = '</script><b>liver</b> & "co"'
LABELS = (Label(NASTY, 1, (1, 2), "m", "#ff0000"), Label("core", 2, (2,), "m", "#00ff00"))
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1]])


@pytest.fixture
def label_map():
    label_map = np.zeros((8, 6, 5), np.uint8)
    label_map[1:4, 2:5, 1:3] = 1
    label_map[2, 3, 1] = 2
    return label_map


@pytest.fixture
def scene(label_map):
    image = np.arange(240, dtype=np.int16).reshape(8, 6, 5)
    segmentations = {PREDICTION: layers_of_label_map(label_map, LABELS)}
    return Scene(
        "a",
        image,
        AFFINE,
        LABELS,
        segmentations,
        "T1",
        slope=0.5,
        intercept=-3,
        dice={"core": math.nan},
        expected_dice={"core": ExpectedDice(0.5, None, 1)},
    )


def read_nifti(content):
    return nibabel.Nifti1Image.from_bytes(content)


class TestScene:
    def test_image_has_its_values_and_place(self, scene):
        image = read_nifti(scene.part("image"))
        assert image.get_data_dtype() == np.int16
        np.testing.assert_array_equal(image.get_fdata(), scene.image * 0.5 - 3)
        np.testing.assert_allclose(image.affine, AFFINE)
        assert image.header["cal_max"] > image.header["cal_min"] >= -3

    def test_layers_are_the_voxels_first_axis_first(self, scene, label_map):
        layer = np.frombuffer(scene.part("prediction/layer/0"), np.uint8).reshape(label_map.shape, order="F")
        np.testing.assert_array_equal(layer == 1, label_map > 0)
        other = np.frombuffer(scene.part("prediction/layer/1"), np.uint8).reshape(label_map.shape, order="F")
        np.testing.assert_array_equal(other == 2, label_map == 2)
        assert read_nifti(scene.layer_nifti(PREDICTION, 1)).get_fdata().sum() == 2

    def test_says_of_each_task_where_it_is_and_its_volume(self, scene):
        content = scene.to_json()
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        first, second = content["tasks"]
        assert first == {
            "name": NASTY,
            "colour": "#ff0000",
            "dice": None,
            "expected": None,
            "prediction": {"layer": 0, "value": 1, "volume_ml": pytest.approx(18 * 24 / 1000)},
        }
        assert second["expected"] == {"mean": 0.5, "deviation": None, "cases": 1}
        assert second["prediction"] == {"layer": 1, "value": 2, "volume_ml": pytest.approx(0.024)}
        assert content["layers"] == {"prediction": 2}
        assert content["shape"] == [8, 6, 5]

    def test_windows_are_of_the_values_that_the_voxels_stand_for(self, scene):
        windows = {window["name"]: (window["low"], window["high"]) for window in scene.to_json()["windows"]}
        assert windows["all values"] == (-3, 239 * 0.5 - 3)
        header = read_nifti(scene.part("image")).header
        assert (header["cal_min"], header["cal_max"]) == pytest.approx(windows["automatic"])
        assert replace(scene, image=None).to_json()["windows"] == []

    def test_of_a_task_that_the_reference_does_not_label_it_says_nothing(self, scene, label_map):
        both = {**scene.segmentations, REFERENCE: layers_of_label_map(label_map, LABELS)}
        content = replace(scene, segmentations=both, unlabelled=frozenset(["core"])).to_json()
        assert [task["reference"] is None for task in content["tasks"]] == [False, True]

    def test_begins_where_most_is_to_be_seen(self, scene):
        x, y, z = scene.to_json()["start"]
        assert scene.segmentations[PREDICTION].volumes[0][x, y, z]

    @pytest.mark.parametrize(
        "name",
        ["", "image/", "prediction/layer/2", "prediction/surface/2", "reference/layer/0", "../image", "a/layer/0"],
    )
    def test_there_are_no_other_parts(self, scene, name):
        assert scene.part(name) is None
        assert name not in scene.parts

    def test_every_part_is_there(self, scene, label_map):
        both = {**scene.segmentations, REFERENCE: layers_of_label_map(label_map, LABELS)}
        scene = Scene("a", None, AFFINE, LABELS, both, "CT")
        assert len(scene.parts) == 1 + 2 * (2 + 2)
        assert all(scene.part(name) for name in scene.parts)

    def test_without_an_image_it_is_black(self, scene):
        scene = Scene("a", None, AFFINE, LABELS, scene.segmentations, "CT")
        assert not read_nifti(scene.part("image")).get_fdata().any()

    def test_of_a_large_image_fewer_voxels_are_shown_in_the_same_place(self, scene):
        few = replace(scene, most_voxels=36, slope=1.0, intercept=0.0)
        content = few.to_json()
        assert content["shape"] == [4, 3, 3]
        assert content["tasks"] == scene.to_json()["tasks"]
        assert "one voxel of 2 along each axis" in content["notes"][0]
        image = read_nifti(few.part("image"))
        np.testing.assert_array_equal(image.get_fdata(), scene.image[::2, ::2, ::2])
        np.testing.assert_allclose(image.affine[:3, 3], AFFINE[:3, 3])
        np.testing.assert_allclose(np.array(content["affine"]) @ [1, 1, 1, 1], AFFINE @ [2, 2, 2, 1])
        assert len(few.part("prediction/layer/0")) == 36

    @pytest.mark.parametrize(("value", "kind"), [(-1024, "int16"), (0.5, "float32"), (40000, "float32")])
    def test_whole_numbers_take_two_bytes(self, value, kind):
        voxels = np.array([0, value], np.float32)
        small = as_small(voxels)
        assert small.dtype == kind
        np.testing.assert_array_equal(small, voxels)


class TestPage:
    def test_of_a_file_needs_nothing_else(self, scene):
        page = whole_page(scene)
        assert not re.search(r"(src|href)=\"(?!data:)", page.partition("<script>")[0])
        assert "Copyright (c) 2021, Niivue" in page
        assert "Permission is hereby granted" in page
        for line in ("class Pane {", "function setWindow(", "start();"):
            assert page.count(line) == 1

    def test_of_a_file_holds_the_parts_and_no_markup_of_names(self, scene):
        page = whole_page(scene)
        found = re.search(r'<script type="application/json" id="embedded">(.*?)</script>', page, re.DOTALL)
        content = json.loads(found[1])
        assert content["scene"] == scene.to_json()
        assert gzip.decompress(base64.b64decode(content["parts"]["image"])) == scene.part("image")
        assert set(content["parts"]) == set(scene.parts)
        assert "<b>liver" not in page

    def test_title_is_text(self):
        assert "<title>&lt;b&gt;x</title>" in served_page("<b>x")
