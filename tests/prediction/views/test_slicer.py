"""What SlicerNNUNet asks of a model's folder before it runs nnUNetv2_predict, in our words; and the call that it makes.

Its rules are those of SlicerNNUNetLib/Parameter.py and SegmentationLogic.py in github.com/KitwareMedical/SlicerNNUnet.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest

from hermes_nnunet.prediction.views.write import write_views

NAME = "HermesTrainer__HermesPlans__3d_fullres"
CHECKPOINT = "checkpoint_final.pth"


@dataclass
class SlicersModel:
    """A folder that a person has chosen in 3D Slicer, and the folds that the person has typed."""

    chosen: Path
    folds: str = ""

    @property
    def table(self) -> Path | None:
        """The first dataset.json of the folder, wherever it is."""
        return next(self.chosen.rglob("dataset.json"), None)

    @property
    def numbers(self) -> list[int]:
        return [int(fold) for fold in self.folds.split(",")] if self.folds else [0]

    def problem(self) -> str | None:
        if self.table is None:
            return "no dataset.json"
        places = [self.table.parent / f"fold_{number}" for number in self.numbers]
        if not all(place.exists() for place in places):
            return "no fold"
        if not all((place / CHECKPOINT).exists() for place in places):
            return "no weights"
        return None if len(self.table.parent.name.split("__")) == 3 else "name of the folder"

    def arguments(self, source: Path, target: Path) -> list[str]:
        """Of nnUNetv2_predict."""
        trainer, plans, configuration = self.table.parent.name.split("__")
        return [
            "-i", source.as_posix(), "-o", target.as_posix(), "-d", self.table.parents[1].name,
            "-tr", trainer, "-p", plans, "-c", configuration, "-f", *map(str, self.numbers),
            "-npp", "1", "-nps", "1", "-step_size", "0.5", "-device", "cpu", "-chk", CHECKPOINT, "--disable_tta",
        ]  # fmt: skip

    def segment_names(self) -> dict[str, str]:
        """Names by the ids that Slicer gives to the values of a label map."""
        return {f"Segment_{value}": name for name, value in json.loads(self.table.read_text())["labels"].items()}


@pytest.fixture
def views(model, results):
    write_views(model, results, [0, 1])
    return [results / dataset for dataset in ("Dataset011_abdomen", "Dataset012_brain")]


def test_views_are_accepted_by_their_data_set_and_by_their_model(views):
    for dataset in views:
        own = dataset / NAME
        for chosen in (dataset, own):
            for folds in ("", "0", "0,1"):
                assert SlicersModel(chosen, folds).problem() is None
            assert SlicersModel(chosen).table == own / "dataset.json"


def test_the_universal_model_is_accepted(model):
    for chosen in (model, model.parent):
        assert SlicersModel(chosen, "0,1").problem() is None


def test_a_view_elsewhere_is_accepted(views, tmp_path):
    copied = shutil.copytree(views[0], tmp_path / "sent" / views[0].name)
    assert SlicersModel(copied).problem() is None


def test_what_is_missing_is_found(views):
    assert SlicersModel(views[0], "2").problem() == "no fold"
    (views[0] / NAME / "fold_0" / CHECKPOINT).unlink()
    assert SlicersModel(views[0]).problem() == "no weights"


def test_the_call_that_slicer_makes_gives_segments_with_names(views, images, tmp_path, monkeypatch):
    from nnunetv2.inference import predict_from_raw_data

    class WithoutProcesses(predict_from_raw_data.nnUNetPredictor):
        def predict_from_files(self, source, target, save_probabilities, overwrite, *_, **__):
            self.allow_tqdm = False
            return self.predict_from_files_sequential(source, target, save_probabilities, overwrite)

    monkeypatch.setattr(predict_from_raw_data, "nnUNetPredictor", WithoutProcesses)
    chosen = SlicersModel(views[0])
    source, target = tmp_path / "slicer" / "input", tmp_path / "slicer" / "output"
    source.mkdir(parents=True)
    target.mkdir()
    shutil.copy(images / "b_0000.nii.gz", source / "volume_0000.nii.gz")
    for variable in ("nnUNet_results", "nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.setenv(variable, str(views[0].parent))
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_predict", *chosen.arguments(source, target)])
    predict_from_raw_data.predict_entry_point()
    segmentation = nibabel.load(next(target.rglob("*.nii*")))
    np.testing.assert_allclose(segmentation.affine, nibabel.load(source / "volume_0000.nii.gz").affine, atol=1e-5)
    values = set(np.unique(segmentation.dataobj).tolist()) - {0}
    assert values
    assert {chosen.segment_names()[f"Segment_{value}"] for value in values} <= {"liver", "spleen"}
