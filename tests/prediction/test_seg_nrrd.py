import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.core.layers import layers_of_label_map
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.viewer.scene import PREDICTION
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import read_scene
from hermes_nnunet.insight.viewer.results import cases_of_results
from hermes_nnunet.prediction.seg_nrrd import read_seg_nrrd, write_seg_nrrd

slicerio = pytest.importorskip("slicerio")

AFFINE = np.array(
    [[-1.879, -0.684, 0.0, 30.0], [0.684, -1.879, 0.0, -20.0], [0.0, 0.0, -2.5, 12.0], [0.0, 0.0, 0.0, 1.0]]
)
LIVER = Label("abdomen/liver", 300, (300,), "abdomen", "#ff8000")
KIDNEY = Label("kidney_left", 7, (7,), "abdomen", "#0000ff")
WHOLE = Label('brain/whole \\ "part" é', 3, (3, 4), "brain", "#00ff00")
CORE = Label("brain/core", 4, (4,), "brain", "#ff0000")


def write(path, label_map, labels):
    write_seg_nrrd(layers_of_label_map(label_map, labels, own_values=True), labels, AFFINE, path)
    return slicerio.read_segmentation(str(path))


class TestFile:
    def test_is_what_slicer_reads(self, tmp_path):
        label_map = np.random.default_rng(0).choice([0, 7, 300], (5, 6, 7))
        content = write(tmp_path / "a.seg.nrrd", label_map, [LIVER, KIDNEY])
        np.testing.assert_array_equal(content["voxels"], label_map)
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ content["ijkToLPS"], AFFINE, atol=1e-9)
        assert content["masterRepresentation"] == "Binary labelmap"
        assert content["containedRepresentationNames"] == ["Binary labelmap"]
        liver, kidney = content["segments"]
        assert (liver["name"], liver["labelValue"], liver["layer"]) == ("abdomen/liver", 300, 0)
        assert liver["color"] == pytest.approx([1, 128 / 255, 0], abs=1e-5)
        assert liver["terminology"]["type"] == ["SCT", "10200004", "Liver"]
        assert liver["terminology"]["category"] == ["SCT", "123037004", "Anatomical Structure"]
        assert "typeModifier" not in liver["terminology"]
        assert kidney["terminology"]["type"] == ["SCT", "64033007", "Kidney"]
        assert kidney["terminology"]["typeModifier"] == ["SCT", "7771000", "Left"]
        assert liver["id"] != kidney["id"]

    def test_a_task_within_another_has_a_layer_of_its_own(self, tmp_path):
        label_map = np.random.default_rng(0).choice([0, 3, 4], (5, 6, 7))
        content = write(tmp_path / "a.seg.nrrd", label_map, [WHOLE, CORE])
        assert content["voxels"].shape == (2, 5, 6, 7)
        for segment, values in zip(content["segments"], [(3, 4), (4,)], strict=True):
            mask = content["voxels"][segment["layer"]] == segment["labelValue"]
            np.testing.assert_array_equal(mask, np.isin(label_map, values))
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ content["ijkToLPS"], AFFINE, atol=1e-9)
        # Of a structure that is not known nothing is claimed.
        assert "terminology" not in content["segments"][1]

    @pytest.mark.parametrize("labels", [[LIVER, KIDNEY], [WHOLE, CORE], [WHOLE, CORE, LIVER]])
    def test_is_read_back(self, tmp_path, labels):
        label_map = np.random.default_rng(0).choice([0, 3, 4, 7, 300], (5, 6, 7))
        write(tmp_path / "a.seg.nrrd", label_map, labels)
        geometry, layers = read_seg_nrrd(tmp_path / "a.seg.nrrd", labels)
        assert geometry.shape == (5, 6, 7)
        np.testing.assert_allclose(geometry.affine, AFFINE, atol=1e-6)
        for label in labels:
            np.testing.assert_array_equal(layers.mask(label.name), np.isin(label_map, label.values))

    def test_of_other_tasks_is_refused(self, tmp_path):
        write(tmp_path / "a.seg.nrrd", np.zeros((2, 2, 2), int), [LIVER])
        with pytest.raises(HermesError, match="has no segment kidney_left"):
            read_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER, KIDNEY])
        (tmp_path / "a.seg.nrrd").write_bytes(b"NRRD0004\nbroken")
        with pytest.raises(HermesError, match="cannot be read"):
            read_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER])


class TestCommand:
    @pytest.fixture
    def predict(self, model, images, tmp_path):
        def run(out, *options):
            place = ["-i", str(images / "b_0000.nii.gz"), "-o", str(tmp_path / out), "-m", str(model)]
            return main(["predict", *place, "--device", "cpu", "-f", "0", *options])

        return run

    @pytest.mark.parametrize("wish", [["--member", "brain"], ["--tasks", "liver,core", "--modality", "CT"]])
    def test_writes_what_the_label_map_has(self, predict, images, tmp_path, wish):
        assert predict("nifti", *wish) == 0
        assert predict("slicer", *wish, "--output-type", "seg_nrrd", "--statistics") == 0
        assert {path.name for path in (tmp_path / "slicer").iterdir()} == {
            "b.seg.nrrd", "labels.json", "run.json", "statistics.json", "statistics.csv",
        }  # fmt: skip
        label_map = np.asarray(nibabel.load(tmp_path / "nifti" / "b.nii.gz").dataobj)
        labels = json.loads((tmp_path / "slicer" / "labels.json").read_text())["labels"]
        content = slicerio.read_segmentation(str(tmp_path / "slicer" / "b.seg.nrrd"))
        assert [segment["name"] for segment in content["segments"]] == [label["name"] for label in labels]
        for segment, label in zip(content["segments"], labels, strict=True):
            layers = content["voxels"] if content["voxels"].ndim == 4 else content["voxels"][None]
            mask = layers[segment["layer"]] == segment["labelValue"]
            assert segment["labelValue"] == label["value"]
            np.testing.assert_array_equal(mask, np.isin(label_map, label["values"]))
        image = nibabel.load(images / "b_0000.nii.gz")
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ content["ijkToLPS"], image.affine, atol=1e-5)

    def test_is_seen_as_the_label_map_is(self, predict, tmp_path):
        scenes = []
        for out, options in (("nifti", []), ("slicer", ["--output-type", "seg_nrrd"])):
            assert predict(out, "--member", "brain", *options) == 0
            (case,) = cases_of_results(tmp_path / out, None, None)
            assert case.name == "b"
            scenes.append(read_scene(case))
        for task in ("brain/whole", "brain/core"):
            np.testing.assert_array_equal(*(scene.segmentations[PREDICTION].mask(task) for scene in scenes))
        np.testing.assert_allclose(scenes[0].affine, scenes[1].affine, atol=1e-5)
        assert scenes[1].image is not None
        assert scenes[1].notes == ()

    def test_masks_for_each_task_are_something_else(self, predict, capsys):
        assert predict("out", "--member", "brain", "--output-type", "seg_nrrd", "--per-task") == 2
        assert "leave it out, since seg_nrrd has a part for each task anyway" in capsys.readouterr().err
