import subprocess
import sys

import pytest

from hermes_nnunet import train


class TestCall:
    def test_help_shows_an_example_without_loading_torch(self):
        command = [sys.executable, "-X", "importtime", "-m", "hermes_nnunet.train", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "-m hermes_nnunet.train 900 3d_fullres 0" in done.stdout
        assert "argparse" in done.stderr
        assert "torch" not in done.stderr

    @pytest.mark.parametrize(
        "options",
        [
            ("--c", "--val"),
            ("--c", "-pretrained_weights", "x"),
            ("--val", "-pretrained_weights", "x"),
            ("--val_best", "--disable_checkpointing"),
        ],
    )
    def test_options_that_exclude_each_other_are_refused(self, options, capsys):
        with pytest.raises(SystemExit) as stop:
            train.main(["900", "3d_fullres", "0", *options])
        assert stop.value.code == 2
        assert "exclude each other" in capsys.readouterr().err

    @pytest.mark.parametrize("number", ["0", "-1", "x"])
    def test_a_wrong_number_of_gpus_is_refused(self, number, capsys):
        with pytest.raises(SystemExit) as stop:
            train.main(["900", "3d_fullres", "0", "-num_gpus", number])
        assert stop.value.code == 2
        assert "is no number of GPUs" in capsys.readouterr().err

    def test_several_gpus_under_torchrun_are_refused(self, monkeypatch, capsys):
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(SystemExit):
            train.main(["900", "3d_fullres", "0", "-num_gpus", "2"])
        assert "leave it out under torchrun" in capsys.readouterr().err

    def test_a_missing_folder_is_one_line(self, monkeypatch, capsys):
        monkeypatch.delenv("nnUNet_preprocessed", raising=False)
        assert train.main(["900", "3d_fullres", "0", "-device", "cpu"]) == 1
        assert capsys.readouterr().err == (
            "hermes_nnunet.train: error: nnUNet_preprocessed is not set: export it, as for nnU-Net's own commands\n"
        )
