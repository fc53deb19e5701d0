import csv
import json
import math
from dataclasses import replace

import pytest
from nnunetv2.evaluation.evaluate_predictions import load_summary_json

from hermes_nnunet.collection import Case
from hermes_nnunet.core.dice import mean_by_label, mean_dice
from hermes_nnunet.learning.training.member_dice import (
    dice_by_member,
    read_summary,
    restrict_summary,
    validated_checkpoint,
    write_member_dice,
)
from hermes_nnunet.prediction.views.content import view_summary

NAN = float("nan")


def summary_of(dice_of_cases):
    return {
        "metric_per_case": [
            {"prediction_file": f"/x/{case}.nii.gz", "metrics": {key: {"Dice": dice} for key, dice in values.items()}}
            for case, values in dice_of_cases.items()
        ]
    }


@pytest.fixture
def results(collection):
    summary = summary_of(
        {
            "abdomen__a": {"1": 0.5, "2": NAN, "(3, 4)": NAN, "4": NAN},
            "abdomen__c": {"1": 0.7, "2": 0.9, "(3, 4)": NAN, "4": NAN},
            "brain__y": {"1": NAN, "2": NAN, "(3, 4)": 0.4, "4": NAN},
        }
    )
    return dice_by_member(summary, collection)


class TestDice:
    def test_members_have_their_own_cases_and_tasks(self, results):
        assert list(results) == ["abdomen", "brain"]
        assert list(results["abdomen"]) == ["abdomen__a", "abdomen__c"]
        assert results["brain"]["brain__y"]["brain/whole"] == 0.4

    def test_a_task_is_averaged_over_the_cases_that_show_it(self, results):
        assert mean_by_label(results["abdomen"]) == pytest.approx({"abdomen/liver": 0.6, "abdomen/spleen": 0.9})
        assert mean_dice(results["abdomen"]) == pytest.approx(0.75)

    def test_a_task_that_no_case_shows_is_left_out_of_the_mean(self, results):
        assert math.isnan(mean_by_label(results["brain"])["brain/core"])
        assert mean_dice(results["brain"]) == pytest.approx(0.4)

    def test_a_dot_in_a_cases_name_does_no_harm(self, collection):
        renamed = replace(collection, cases={"brain__x.1": collection.cases["brain__x"]})
        summary = summary_of({"brain__x.1": {"(3, 4)": 0.5, "4": 0.5}})
        assert list(dice_by_member(summary, renamed)["brain"]) == ["brain__x.1"]

    def test_a_member_without_a_case_is_left_out(self, collection):
        summary = summary_of({"abdomen__a": {"1": 0.5, "2": 0.5}})
        assert list(dice_by_member(summary, collection)) == ["abdomen"]


class TestFiles:
    def test_json_has_a_format_version_and_null_for_unseen_tasks(self, results, tmp_path):
        write_member_dice(results, tmp_path)
        content = json.loads((tmp_path / "dice_by_member.json").read_text())
        assert content["format_version"] == 1
        assert content["mean"] == pytest.approx(0.575)
        assert content["members"]["brain"]["tasks"]["brain/core"] is None

    def test_csv_has_a_row_a_task(self, results, tmp_path):
        write_member_dice(results, tmp_path)
        with open(tmp_path / "dice_by_member.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["member"], row["task"], row["cases"], row["dice"]) for row in rows] == [
            ("abdomen", "abdomen/liver", "2", "0.600000"),
            ("abdomen", "abdomen/spleen", "2", "0.900000"),
            ("brain", "brain/whole", "1", "0.400000"),
            ("brain", "brain/core", "1", ""),
        ]


class TestSummary:
    def entry(self, case, **dice):
        keys = {"liver": "1", "spleen": "2", "whole": "(3, 4)", "core": "4"}
        metrics = {key: {"Dice": dice.get(name, NAN), "FN": 7} for name, key in keys.items()}
        return {"prediction_file": f"/v/{case}.nii.gz", "reference_file": f"/r/{case}.nii.gz", "metrics": metrics}

    def test_a_case_is_not_judged_by_what_it_does_not_annotate(self, collection, tmp_path):
        cases = {**collection.cases, "brain__x": Case("brain", "T1", "x", ("brain/core",))}
        entries = [self.entry("brain__x", whole=0.0, core=0.8), self.entry("brain__y", whole=0.6, core=0.4)]
        path = tmp_path / "summary.json"
        path.write_text(json.dumps({"metric_per_case": entries, "mean": {}, "foreground_mean": {}}))
        summary = restrict_summary(path, replace(collection, cases=cases))
        assert math.isnan(summary["metric_per_case"][0]["metrics"]["(3, 4)"]["Dice"])
        assert {key: summary["mean"][key]["Dice"] for key in ("(3, 4)", "4")} == pytest.approx(
            {"(3, 4)": 0.6, "4": 0.6}
        )
        assert summary["foreground_mean"]["Dice"] == pytest.approx(0.6)
        assert load_summary_json(str(path))["mean"][(3, 4)]["Dice"] == pytest.approx(0.6)

    def test_a_case_is_not_judged_by_a_region_around_a_task_that_it_shares(self, collection, tmp_path):
        """Who knows the core alone has its voxels in another member's whole."""
        abdomen = replace(collection.members["abdomen"], tasks=("brain/core",))
        grown = replace(collection, members={**collection.members, "abdomen": abdomen})
        entries = [self.entry("abdomen__a", whole=0.5, core=0.5), self.entry("brain__y", whole=1.0, core=1.0)]
        path = tmp_path / "summary.json"
        path.write_text(json.dumps({"metric_per_case": entries, "mean": {}, "foreground_mean": {}}))
        summary = restrict_summary(path, grown)
        assert {key: summary["mean"][key]["Dice"] for key in ("(3, 4)", "4")} == {"(3, 4)": 1.0, "4": 0.75}
        assert json.loads(path.read_text())["foreground_mean"]["Dice"] == 0.875
        assert dice_by_member(summary, grown)["abdomen"] == {"abdomen__a": {"brain/core": 0.5}}

    @pytest.mark.parametrize("whole", [0.6, 0.0])
    def test_tells_of_another_checkpoint_than_the_final_one(self, collection, tmp_path, whole):
        path = tmp_path / "summary.json"
        entries = [self.entry("brain__y", whole=0.6), self.entry("abdomen__a", whole=whole or NAN)]
        path.write_text(json.dumps({"metric_per_case": entries, "mean": {}}))
        restrict_summary(path, collection, "checkpoint_best.pth")
        summary = read_summary(path, collection)
        assert validated_checkpoint(summary) == "checkpoint_best.pth"
        assert validated_checkpoint(view_summary(summary, collection, "brain")) == "checkpoint_best.pth"
        assert dice_by_member(summary, collection)["brain"]["brain__y"]["brain/whole"] == 0.6

    def test_is_left_as_nnunet_wrote_it_where_all_cases_annotate_all(self, collection, tmp_path):
        path = tmp_path / "summary.json"
        path.write_text(json.dumps({"metric_per_case": [self.entry("brain__y", whole=0.6)], "mean": {}}))
        before = path.read_bytes()
        assert restrict_summary(path, collection)["mean"] == {}
        assert path.read_bytes() == before
