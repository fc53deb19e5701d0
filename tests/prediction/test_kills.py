"""Predictions that are killed at any change of a file: no half file passes for a result, and --continue goes on."""

import json

import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.run_record import read_runs

# What tells of every finished case.
GROWING = {"out/labels.json", "out/statistics.json", "out/statistics.csv"}


@pytest.fixture
def predict(kills, model, images):
    """A function that segments an image."""

    def run(*options):
        image = str(images / "b_0000.nii.gz")
        arguments = ["-i", image, "-o", str(kills.folder / "out"), "-m", str(model), "--device", "cpu"]
        assert main(["predict", *arguments, "--tasks", "liver,core", "--modality", "CT", *options]) == 0

    return run


@pytest.fixture
def snapshot(kills):
    """A function that gives the files but for the times of each run."""
    return lambda: {name: data for name, data in kills.snapshot().items() if name != "out/run.json"}


def test_a_killed_prediction_goes_on(kills, predict, snapshot):
    def first(*more):
        predict("-f", "0", "--statistics", *more)

    kills.CHOSEN = 3  # each takes a while
    kills.keep()
    kills.run(first)
    whole = snapshot()
    for change in kills.each(first):
        left = snapshot()
        for name, data in left.items():
            if ".writing-" not in name and name not in GROWING:
                assert data == whole[name], change
        if "out/labels.json" in left and json.loads(left["out/labels.json"])["cases"]:
            assert "out/b.nii.gz" in left, change
        kills.run(lambda: first("--continue"))
        assert snapshot() == whole, change
        assert [list(run["cases"]) for run in read_runs(kills.folder / "out" / "run.json")][-1:] == [["b"]]


def test_one_that_is_killed_while_it_overwrites_leaves_nothing_to_the_run_before(kills, predict, snapshot):
    def first(*more):
        predict("-f", "0", "--statistics", *more)

    kills.CHOSEN = 4
    kills.run(first)
    kills.keep()
    whole = snapshot()
    for change in kills.each(lambda: predict("-f", "1", "--overwrite", "--preview", "--probabilities")):
        kills.run(lambda: first("--continue"))
        assert snapshot() == whole, change
