"""Predictions that are killed at any change of a file: no half file passes for a result, and --continue goes on."""

import json

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.run_record import read_runs

# What tells of every finished case.
GROWING = {"out/labels.json", "out/statistics.json", "out/statistics.csv"}


def test_a_killed_prediction_goes_on(kills, model, images):
    def predict(*options):
        image = str(images / "b_0000.nii.gz")
        arguments = ["-i", image, "-o", str(kills.folder / "out"), "-m", str(model), "--device", "cpu", "-f", "0"]
        assert main(["predict", *arguments, "--tasks", "liver,core", "--statistics", "--modality", "CT", *options]) == 0

    def snapshot():
        # But for the times of each run.
        return {name: data for name, data in kills.snapshot().items() if name != "out/run.json"}

    kills.CHOSEN = 3  # each takes a while
    kills.keep()
    kills.run(predict)
    whole = snapshot()
    for change in kills.each(predict):
        left = snapshot()
        for name, data in left.items():
            if ".writing-" not in name and name not in GROWING:
                assert data == whole[name], change
        if "out/labels.json" in left and json.loads(left["out/labels.json"])["cases"]:
            assert "out/b.nii.gz" in left, change
        kills.run(lambda: predict("--continue"))
        assert snapshot() == whole, change
        assert [list(run["cases"]) for run in read_runs(kills.folder / "out" / "run.json")][-1:] == [["b"]]
