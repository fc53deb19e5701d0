import json
import math

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.weights.additions.trained import validation_dice


@pytest.fixture
def summary(tmp_path):
    """A function that writes the summary.json of a validation with these Dice of the liver; returns its path."""

    def write(*liver):
        entries = [
            {
                "prediction_file": f"abdomen__{case}.nii.gz",
                "metrics": {"1": {"Dice": dice}, "2": {"Dice": float("nan")}},
            }
            for case, dice in zip("abc", liver, strict=False)
        ]
        path = tmp_path / "summary.json"
        path.write_text(json.dumps({"metric_per_case": entries}))
        return path

    return write


def test_dice_of_an_addition_is_the_mean_of_the_cases_that_show_a_task(summary, collection):
    dice = validation_dice(summary(0.5, 0.7, math.nan), collection)
    assert dice["abdomen/liver"] == pytest.approx(0.6)
    assert dice["abdomen/spleen"] is dice["brain/core"] is None


def test_there_is_none_before_the_validation(tmp_path, collection):
    assert validation_dice(tmp_path / "summary.json", collection) == {}


def test_a_damaged_summary_is_named(summary, collection):
    path = summary(0.5)
    path.write_text(path.read_text().replace("metrics", "other"))
    with pytest.raises(HermesError, match=r"summary\.json: metric_per_case\[0\]: metrics is missing: run the valid"):
        validation_dice(path, collection)
