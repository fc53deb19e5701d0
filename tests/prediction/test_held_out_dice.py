"""The Dice to expect: that of the model's final validation, wherever the model goes, and in all that is predicted."""

import json
import math
import shutil

import pytest

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import read_scene
from hermes_nnunet.insight.viewer.results import cases_of_results
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.views.write import write_views

NAN = math.nan
# By fold and case; keys are nnU-Net's, of the collection's label values.
DICE = {
    0: {"abdomen__a": {"1": 0.5, "2": 0.25}, "abdomen__c": {"1": 1.0, "2": NAN}},
    1: {"abdomen__b": {"1": 0.75, "2": NAN}, "brain__y": {"(3, 4)": 0.125, "4": 0.625}},
}
LIVER = ExpectedDice(0.75, 0.25, 3)
SPLEEN = ExpectedDice(0.25, None, 1)


def write_summary(fold, dice):
    entries = [
        {
            "prediction_file": f"/elsewhere/{case}.nii.gz",
            "metrics": {key: {"Dice": values.get(key, NAN)} for key in ("1", "2", "(3, 4)", "4")},
        }
        for case, values in dice.items()
    ]
    (fold / "validation").mkdir(parents=True, exist_ok=True)
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": entries}))


@pytest.fixture
def folder(tmp_path, plans, dataset_json):
    """A model folder of two validated folds whose weights nobody reads."""
    folder = tmp_path / "results" / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres"
    for fold, dice in DICE.items():
        write_summary(folder / f"fold_{fold}", dice)
        (folder / f"fold_{fold}" / "checkpoint_final.pth").touch()
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder


@pytest.fixture
def validated(model):
    """A model that can predict, with the validation of both folds."""
    for fold, dice in DICE.items():
        write_summary(model / f"fold_{fold}", dice)
    return model


class TestExpectedDice:
    def test_of_one_case_has_no_deviation_and_of_none_nothing(self):
        assert ExpectedDice.of([0.5]) == ExpectedDice(0.5, None, 1)
        assert ExpectedDice.of([]) is None
        assert ExpectedDice.of([0.5, 0.7]).deviation == pytest.approx(0.1 * 2**0.5)


class TestModel:
    def test_folds_are_taken_together_and_undefined_cases_left_out(self, folder):
        assert read_model_folder(folder).expected_dice == {
            "abdomen": {"abdomen/liver": LIVER, "abdomen/spleen": SPLEEN},
            "brain": {"brain/whole": ExpectedDice(0.125, None, 1), "brain/core": ExpectedDice(0.625, None, 1)},
        }

    def test_is_of_the_folds_that_are_averaged(self, folder):
        expected = read_model_folder(folder, [0]).expected_dice
        assert expected["abdomen"]["abdomen/liver"] == ExpectedDice(0.75, pytest.approx(0.125**0.5), 2)
        assert "brain" not in expected

    def test_a_fold_that_was_trained_on_all_cases_tells_nothing(self, folder):
        (folder / "fold_0").rename(folder / "fold_all")
        shutil.rmtree(folder / "fold_1")
        assert read_model_folder(folder).expected_dice == {}

    def test_nor_do_weights_that_were_not_validated(self, folder):
        (folder / "fold_0" / "checkpoint_best.pth").touch()
        assert read_model_folder(folder, [0], "checkpoint_best.pth").expected_dice == {}
        shutil.rmtree(folder / "fold_0" / "validation")
        assert read_model_folder(folder, [0]).expected_dice == {}

    def test_nor_does_a_validation_of_other_weights(self, validated, results):
        """--val_best writes into nnU-Net's one folder."""
        summary = validated / "fold_1" / "validation" / "summary.json"
        summary.write_text(json.dumps({**json.loads(summary.read_text()), "hermes_checkpoint": "checkpoint_best.pth"}))
        write_views(validated, results, [0, 1])
        for folder in (validated, *results.glob("Dataset01*/Hermes*")):
            expected = read_model_folder(folder).expected_dice
            assert "brain" not in expected
            if "brain" not in str(folder):
                assert expected["abdomen"]["abdomen/liver"].cases == 2

    def test_a_checkpoint_without_a_name_is_refused(self, folder):
        summary = folder / "fold_0" / "validation" / "summary.json"
        summary.write_text(json.dumps({**json.loads(summary.read_text()), "hermes_checkpoint": 3}))
        with pytest.raises(HermesError, match=r"summary\.json: hermes_checkpoint must be text, not 3"):
            _ = read_model_folder(folder, [0]).expected_dice

    @pytest.mark.parametrize("dice", [1e308, -0.5, math.inf])
    def test_what_no_dice_can_be_is_refused_by_name(self, folder, dice):
        write_summary(folder / "fold_0", {"abdomen__a": {"1": dice}, "abdomen__c": {"1": dice}})
        with pytest.raises(HermesError, match=r"3d_fullres: the Dice of 'abdomen/liver' in its validation is"):
            _ = read_model_folder(folder, [0]).expected_dice

    def test_a_shared_task_has_that_of_each_member(self, folder, dataset_json, plans):
        for content in (dataset_json, plans):
            content["hermes"]["members"]["brain"]["tasks"] = ["abdomen/liver", "brain/core"]
            content["hermes"]["members"]["brain"]["labels"] = {"background": 0, "whole": 1, "core": 2}
        (folder / "plans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset_json))
        write_summary(folder / "fold_1", {"abdomen__b": {"1": 0.75}, "brain__y": {"1": 0.125, "4": 0.625}})
        expected = read_model_folder(folder).expected_dice
        assert expected["abdomen"]["abdomen/liver"] == LIVER
        assert expected["brain"]["abdomen/liver"] == ExpectedDice(0.125, None, 1)


class TestWhereTheModelGoes:
    def test_views_have_that_of_their_member(self, validated, results):
        write_views(validated, results, [0, 1])
        (view,) = results.glob("Dataset011_abdomen/Hermes*")
        assert read_model_folder(view).expected_dice == {"abdomen": {"abdomen/liver": LIVER, "abdomen/spleen": SPLEEN}}
        (view,) = results.glob("Dataset012_brain/Hermes*")
        assert read_model_folder(view).expected_dice["brain"]["brain/core"] == ExpectedDice(0.625, None, 1)

    def test_views_of_a_model_that_is_trained_again_lose_it_until_it_is_validated(self, validated, results):
        write_views(validated, results, [0, 1])
        for fold in (0, 1):
            (validated / f"fold_{fold}" / "validation" / "summary.json").unlink()
        write_views(validated, results, [0, 1])
        (view,) = results.glob("Dataset011_abdomen/Hermes*")
        assert read_model_folder(view).expected_dice == {}

    def test_comes_through_nnunets_export_and_our_install(self, validated, results, tmp_path, monkeypatch):
        from nnunetv2.model_sharing import model_export

        for fold in (0, 1):
            (validated / f"fold_{fold}" / "progress.png").touch()
        (validated / "dataset_fingerprint.json").write_text("{}")
        monkeypatch.setattr(model_export, "nnUNet_results", str(results))
        monkeypatch.setattr(model_export, "maybe_convert_to_dataset_name", lambda name: name)
        monkeypatch.setattr(model_export, "get_output_folder", lambda *_: str(validated))
        archive = tmp_path / "model.zip"
        model_export.export_pretrained_model(
            "Dataset900_Both", str(archive), ("3d_fullres",), "HermesTrainer", "HermesPlans", (0, 1)
        )
        other = tmp_path / "other"
        other.mkdir()
        monkeypatch.setenv("nnUNet_results", str(other))
        assert main(["install", str(archive)]) == 0
        installed = read_model_folder(other / "Dataset900_Both" / validated.name)
        assert installed.expected_dice["abdomen"]["abdomen/liver"] == LIVER


class TestPrediction:
    def test_labels_file_record_viewer_and_page_have_it(self, validated, predict, images, out):
        assert predict("--all", "--modality", "CT", "--viewer", source=images / "a_0000.nii.gz") == 0
        expected = {"abdomen/liver": LIVER.to_json(), "abdomen/spleen": SPLEEN.to_json()}
        assert [one["expected_dice"] for one in json.loads((out / "labels.json").read_text())["passes"]] == [expected]
        run = json.loads((out / "run.json").read_text())["runs"][0]
        assert [one["expected_dice"] for one in run["passes"]] == [expected]
        (case,) = cases_of_results(out, None, None)
        shown = {task["name"]: task["expected"] for task in read_scene(case).to_json()["tasks"]}
        assert shown == expected
        page = (out / "a.viewer.html").read_text()
        assert '"expected": {"mean": 0.75, "deviation": 0.25, "cases": 3}' in page

    def test_of_a_task_that_never_saw_the_modality_nothing_is_expected(self, validated, predict, images, out):
        source = images / "a_0000.nii.gz"
        assert predict("--tasks", "liver,core", "--modality", "CT", source=source) == 0
        (told,) = json.loads((out / "labels.json").read_text())["passes"]
        assert set(told["tasks"]) > {"abdomen/liver", "brain/core"}
        assert list(told["expected_dice"]) == ["abdomen/liver"]

    def test_is_not_asked_for_where_there_is_none(self, model, predict, images, out):
        assert predict("--all", "--modality", "CT", "--viewer", source=images / "a_0000.nii.gz") == 0
        assert "expected_dice" not in json.loads((out / "labels.json").read_text())["passes"][0]
        assert '"expected": null' in (out / "a.viewer.html").read_text()

    def test_another_validation_makes_no_other_segmentation(self, validated, predict, images, out):
        assert predict("--all", "--modality", "CT", source=images / "a_0000.nii.gz") == 0
        before = (out / "a.nii.gz").stat().st_mtime_ns
        write_summary(validated / "fold_0", {"abdomen__a": {"1": 0.25, "2": 0.25}})
        assert predict("--all", "--modality", "CT", "--continue", source=images / "a_0000.nii.gz") == 0
        assert (out / "a.nii.gz").stat().st_mtime_ns == before
        (out / "a.nii.gz").unlink()
        assert predict("--all", "--modality", "CT", "--continue", source=images / "a_0000.nii.gz") == 0
        (told,) = json.loads((out / "labels.json").read_text())["passes"]
        assert told["expected_dice"]["abdomen/liver"]["mean"] == 0.5

    def test_a_damaged_summary_is_named_and_stops_nothing(self, validated, predict, images, out, capsys):
        (validated / "fold_1" / "validation" / "summary.json").write_text('{"metric_per_case": 3}')
        assert predict("--all", "--modality", "CT", source=images / "a_0000.nii.gz") == 0
        warning = next(line for line in capsys.readouterr().err.splitlines() if "Dice" in line)
        assert "what Dice to expect is not known" in warning
        assert "fold_1/validation/summary.json" in warning
        assert (out / "a.nii.gz").is_file()

    def test_python_has_it(self, validated, images):
        model = HermesModel.load(validated, device="cpu")
        assert model.expected_dice["abdomen"] == {"abdomen/liver": LIVER, "abdomen/spleen": SPLEEN}
        segmentation = model.predict(images / "a_0000.nii.gz", tasks=["spleen"], modality="CT")
        assert segmentation.expected_dice == {"abdomen/spleen": SPLEEN}
