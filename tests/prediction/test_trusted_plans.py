"""A model folder whose plans name a command: nothing runs it."""

import json

import pytest

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.core.trusted_plans import TRUST_VARIABLE
from hermes_nnunet.errors import HermesError


@pytest.fixture
def touched(tmp_path):
    """The file that the model's plans would have made."""
    return tmp_path / "code_was_run"


@pytest.fixture
def hostile(model, touched):
    """A model folder with "nonlin": "os.system" and a command as its arguments."""
    plans = json.loads((model / "plans.json").read_text())
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments |= {"nonlin": "os.system", "nonlin_kwargs": {"command": f"touch {touched}"}}
    (model / "plans.json").write_text(json.dumps(plans))
    return model


def test_the_command_refuses_it_by_name(hostile, touched, images, tmp_path, capsys):
    arguments = ["-i", str(images), "-o", str(tmp_path / "out"), "-m", str(hostile), "--all", "--device", "cpu"]
    assert main(["predict", *arguments]) == 1
    assert "plans.json, '3d_fullres': nonlin is 'os.system'" in capsys.readouterr().err
    assert not touched.exists()
    assert not (tmp_path / "out").exists()


def test_python_refuses_it_by_name(hostile, touched):
    with pytest.raises(HermesError, match=r"nonlin is 'os\.system'.*trust_plans=True"):
        HermesModel.load(hostile, device="cpu")
    assert not touched.exists()


def test_the_trainer_that_nnunetv2_predict_builds_with_refuses_it_by_name(hostile, touched):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with pytest.raises(HermesError, match=r"nonlin is 'os\.system'.*HERMES_TRUST_PLANS=1"):
        nnUNetPredictor(device=torch.device("cpu")).initialize_from_trained_model_folder(str(hostile), (0,))
    assert not touched.exists()


class TestTrust:
    """The test itself: that the command would run without the check."""

    def test_of_python(self, hostile, touched):
        with pytest.raises(TypeError):  # an exit code is no layer
            HermesModel.load(hostile, device="cpu", trust_plans=True)
        assert touched.exists()

    def test_of_the_command(self, hostile, touched, images, tmp_path):
        arguments = ["-i", str(images), "-o", str(tmp_path / "out"), "-m", str(hostile), "--all", "--device", "cpu"]
        with pytest.raises(TypeError):
            main(["predict", *arguments, "--trust-plans"])
        assert touched.exists()

    def test_of_nnunets_commands(self, hostile, touched, monkeypatch):
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        monkeypatch.setenv(TRUST_VARIABLE, "1")
        with pytest.raises(TypeError):
            nnUNetPredictor(device=torch.device("cpu")).initialize_from_trained_model_folder(str(hostile), (0,))
        assert touched.exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"trainer_name": "os"}, "was trained with 'os', which nnU-Net does not find here"),
        ({"trainer_name": "nnUNetTrainerBN"}, "was trained with 'nnUNetTrainerBN', which is no HermesTrainer"),
        ({"init_args": {"configuration": "2d"}}, "is of a configuration that .*plans.json does not have"),
        ({"init_args": None}, "is of a configuration that .*plans.json does not have"),
    ],
)
def test_what_a_checkpoint_names_is_one_of_ours(model, changed, says):
    import torch

    path = model / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), **changed}, path)
    with pytest.raises(HermesError, match=says):
        HermesModel.load(model, folds=[0], device="cpu")
