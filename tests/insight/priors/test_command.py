import csv
import json

import pytest
import torch
from matplotlib.image import imread

from hermes_nnunet.cli import main as cli


@pytest.fixture
def model(tmp_path, plans, dataset_json):
    """A model of `collection` in whose only place both tasks of the abdomen have the same token."""
    folder = tmp_path / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    tasks = torch.eye(5, 8)
    tasks[1] = 3 * tasks[0]
    weights = {
        "encoder_fusion.2.seg_layers.priors.tasks": tasks,
        "encoder_fusion.2.seg_layers.priors.modalities": torch.eye(3, 8)[:, None].repeat(1, 4, 1),
    }
    torch.save({"network_weights": weights}, folder / "fold_0" / "checkpoint_final.pth")
    return folder


class TestPriors:
    def test_picture_table_and_means_are_those_of_the_tokens(self, model, tmp_path, capsys):
        output = tmp_path / "priors.png"
        assert cli.main(["priors", str(model), "-o", str(output)]) == 0
        height, width, _ = imread(output).shape
        assert min(height, width) > 400
        with open(tmp_path / "priors.csv", newline="") as file:
            rows = {(row["name"], row["rank"]): row for row in csv.DictReader(file)}
        assert rows["abdomen/liver", "1"]["neighbour"] == "abdomen/spleen"
        assert rows["abdomen/liver", "1"]["cosine"] == "1.0000"
        assert rows["brain/core", "1"]["cosine"] == "0.0000"
        printed = capsys.readouterr().out
        assert "\x1b" not in printed  # no colours where nobody looks
        cells = [line.split() for line in printed.splitlines() if "│" in line]
        assert {row[1]: row[3] for row in cells} == {"abdomen": "1.00", "brain": "0.00"}

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (["--level", "1"], 2, "--level 1 is not a place"),
            (["-o", "priors.bmp"], 2, "priors.bmp does not end with .png, .svg or .pdf"),
            (["-o", "none/priors.png"], 1, "none does not exist"),
            (["-f", "3"], 1, "no fold 3"),
        ],
    )
    def test_what_cannot_be_done_is_told_in_one_line(
        self, model, tmp_path, monkeypatch, capsys, options, code, message
    ):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["priors", str(model), *options]) == code
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not list(tmp_path.glob("priors*"))

    def test_a_checkpoint_that_could_run_code_is_not_read(self, model, tmp_path, capsys):
        torch.save({"network_weights": {}, "more": pytest.fixture}, model / "fold_0" / "checkpoint_final.pth")
        assert cli.main(["priors", str(model), "-o", str(tmp_path / "priors.png")]) == 1
        assert "holds more than a checkpoint" in capsys.readouterr().err
