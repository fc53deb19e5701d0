import json

import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.model_folder import find_model_folder, read_model_folder
from hermes_nnunet.prediction.views.write import write_views


class TestFinding:
    @pytest.mark.parametrize("asked", ["900", 900, "Dataset900_Both"])
    def test_by_id_and_by_name(self, asked, model):
        assert find_model_folder(asked) == model

    def test_by_its_folder_without_nnunets_variables(self, model, monkeypatch):
        monkeypatch.delenv("nnUNet_results")
        assert find_model_folder(model) == model
        with pytest.raises(HermesError, match="900 is not a folder, and nnUNet_results is not set"):
            find_model_folder("900")

    def test_the_models_that_are_there_are_named(self, model):
        with pytest.raises(
            HermesError, match=rf"no model Other__HermesPlans__3d_fullres .*, but {model.name}: name it"
        ):
            find_model_folder("900", trainer="Other")

    def test_the_models_within_a_folder_are_named(self, model):
        with pytest.raises(HermesError, match=rf"holds the models {model.name}: give one of these"):
            find_model_folder(model.parent)

    @pytest.mark.parametrize("asked", ["901", "Dataset901_None", "nowhere/model"])
    def test_what_is_not_there_is_told(self, asked, model):
        with pytest.raises(HermesError, match="is neither a folder nor a data set with a model"):
            find_model_folder(asked)


class TestReading:
    def test_a_universal_model_has_all_members_and_tasks(self, model):
        read = read_model_folder(model)
        assert list(read.members) == ["abdomen", "brain"]
        assert read.tasks == ("abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core")
        assert read.folds == ("0", "1")

    def test_a_view_has_its_own_member(self, model, results):
        write_views(model, results, [0])
        (view,) = results.glob(f"*_brain/{model.name}")
        read = read_model_folder(view)
        assert list(read.members) == ["brain"]
        assert read.tasks == ("brain/whole", "brain/core")
        assert [(task.values, task.written_value) for task in read.own_labels("brain")] == [((1, 2), 1), ((2,), 2)]
        assert read.folds == ("0",)

    def test_a_view_of_another_data_set_is_refused(self, model, results):
        write_views(model, results, [0])
        (view,) = results.glob(f"*_brain/{model.name}")
        plans = json.loads((view / "plans.json").read_text())
        (view / "plans.json").write_text(json.dumps({**plans, "dataset_name": "Dataset099_Other"}))
        with pytest.raises(HermesError, match="Dataset099_Other is no member of the model"):
            read_model_folder(view)

    def test_the_fold_all_is_not_averaged_with_others(self, model):
        (model / "fold_1").rename(model / "fold_all")
        assert read_model_folder(model).folds == ("0",)
        (model / "fold_0" / "checkpoint_final.pth").unlink()
        assert read_model_folder(model).folds == ("all",)

    def test_a_training_that_has_not_ended_is_told(self, model):
        for path in model.glob("fold_*/checkpoint_final.pth"):
            path.rename(path.with_name("checkpoint_best.pth"))
        with pytest.raises(HermesError, match=r"no fold with a checkpoint_final\.pth"):
            read_model_folder(model)
        assert read_model_folder(model, checkpoint="checkpoint_best.pth").folds == ("0", "1")


def test_a_fold_that_was_trained_for_other_tasks_is_refused(model, plans, predict, capsys):
    """As where it was trained into again after its collection was merged in another order."""
    plans["hermes"]["tasks"] = [*reversed(plans["hermes"]["tasks"][:2]), *plans["hermes"]["tasks"][2:]]
    path = model / "fold_1" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save({**content, "init_args": {"configuration": "3d_fullres", "plans": plans}}, path)
    assert predict("--member", "abdomen", "-f", "0") == 0
    assert predict("--member", "abdomen", "--overwrite") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{path} was trained for other tasks than its plans have now (" in line
