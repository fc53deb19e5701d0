import json
import shutil

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.report.trained_model import read_trained_model
from hermes_nnunet.learning.training.learning_curves import FILE_NAME


class TestCurves:
    def test_are_those_that_training_kept(self, model):
        (fold,) = read_trained_model(model).folds
        assert fold.has_member_curves
        assert [epoch.members["abdomen"].modality_accuracy for epoch in fold.curves.epochs] == [0.75, 0.75]

    def test_of_an_older_model_are_nnunets_logging(self, model):
        (model / "fold_0" / FILE_NAME).unlink()
        (fold,) = read_trained_model(model).folds
        assert not fold.has_member_curves
        assert [epoch.train_loss for epoch in fold.curves.epochs] == [0.75, 0.5]
        assert fold.curves.epochs[1].dice["abdomen/spleen"] == pytest.approx(0.2)
        assert fold.curves.epochs[1].members == {}


class TestFolds:
    @pytest.fixture
    def second_fold(self, model):
        shutil.copytree(model / "fold_0", model / "fold_1")
        summary = model / "fold_1" / "validation" / "summary.json"
        content = json.loads(summary.read_text())
        content["metric_per_case"] = [
            {**entry, "prediction_file": entry["prediction_file"].replace("abdomen__a", "abdomen__b")}
            for entry in content["metric_per_case"][:1]
        ]
        summary.write_text(json.dumps(content))

    @pytest.mark.usefixtures("second_fold")
    def test_dice_is_that_of_the_held_out_cases_of_all(self, model):
        trained = read_trained_model(model)
        assert [fold.name for fold in trained.folds] == ["0", "1"]
        assert set(trained.dice["abdomen"]) == {"abdomen__a", "abdomen__b", "abdomen__c"}
        assert trained.fold_of("abdomen__b").name == "1"
        assert trained.fold_of("brain__y").name == "0"

    @pytest.mark.usefixtures("second_fold")
    def test_some_can_be_chosen(self, model):
        assert set(read_trained_model(model, ["1"]).dice) == {"abdomen"}

    def test_one_trained_with_all_cases_has_held_out_none(self, model):
        (model / "fold_0").rename(model / "fold_all")
        trained = read_trained_model(model)
        assert trained.dice_is_of_training_cases
        assert trained.fold_of("brain__y").name == "all"

    @pytest.mark.usefixtures("second_fold")
    def test_dice_of_held_out_cases_is_not_mixed_with_that_of_training_cases(self, model):
        (model / "fold_0").rename(model / "fold_all")
        trained = read_trained_model(model, ["1", "all"])
        assert not trained.dice_is_of_training_cases
        assert set(trained.dice) == {"abdomen"}
        assert set(trained.dice["abdomen"]) == {"abdomen__b"}

    def test_one_that_is_in_training_is_shown_where_none_is_finished(self, model):
        (model / "fold_0" / "checkpoint_final.pth").rename(model / "fold_0" / "checkpoint_latest.pth")
        shutil.rmtree(model / "fold_0" / "validation")
        trained = read_trained_model(model)
        assert len(trained.folds[0].curves.epochs) == 2
        assert trained.dice == {}


class TestRefusals:
    def test_a_view_has_no_training_of_its_own(self, model):
        dataset_json = json.loads((model / "dataset.json").read_text())
        del dataset_json["hermes"]
        (model / "dataset.json").write_text(json.dumps(dataset_json))
        plans = json.loads((model / "plans.json").read_text())
        (model / "plans.json").write_text(json.dumps({**plans, "dataset_name": "Dataset011_abdomen"}))
        with pytest.raises(HermesError, match=r"is a view .* give the model of the collection"):
            read_trained_model(model)

    def test_a_model_of_plain_nnunet_has_no_members(self, model):
        plans = json.loads((model / "plans.json").read_text())
        del plans["hermes"]
        (model / "plans.json").write_text(json.dumps(plans))
        with pytest.raises(HermesError, match="plain nnU-Net"):
            read_trained_model(model)
