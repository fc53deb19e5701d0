"""Views that are killed at any change of a file: the next run makes them, and none is of two models."""

import json

import pytest

from hermes_nnunet.prediction.views.write import MARKER, write_views

NAME = "HermesTrainer__HermesPlans__3d_fullres"
VIEWS = [f"Dataset011_abdomen/{NAME}", f"Dataset012_brain/{NAME}"]


@pytest.fixture
def model(kills, plans, dataset_json):
    """A universal model with two folds in kills.folder."""
    folder = kills.folder / "Dataset900_Both" / NAME
    for fold in (0, 1):
        (folder / f"fold_{fold}").mkdir(parents=True)
    write_model(folder, plans, dataset_json, "first")
    return folder


def write_model(folder, plans, dataset_json, weights):
    for fold in (0, 1):
        (folder / f"fold_{fold}" / "checkpoint_final.pth").unlink(missing_ok=True)
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_text(weights)
        (folder / f"fold_{fold}" / "progress.png").write_text("picture")
    contents = {"plans.json": plans, "dataset.json": dataset_json, "dataset_fingerprint.json": {}}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))


def test_new_views_appear_with_all_they_hold(kills, model):
    kills.leave_all_or_nothing(lambda: write_views(model, kills.folder, [0, 1]), *(f"{view}/" for view in VIEWS))


def test_views_that_take_the_place_of_another_models_are_of_one_model(kills, model, plans, dataset_json):
    write_views(model, kills.folder, [0, 1])
    old = kills.snapshot()
    other = kills.folder / "Dataset901_Other" / NAME
    for fold in (0, 1):
        (other / f"fold_{fold}").mkdir(parents=True)
    write_model(other, plans, dataset_json, "second")
    kills.keep()

    def action():
        write_views(other, kills.folder, [0, 1], replace=True)

    kills.run(action)
    whole = kills.snapshot()
    for change in kills.each(action):
        left = kills.snapshot()
        for view in (f"{view}/" for view in VIEWS):
            assert kills.part_of(left, view) in ({}, kills.part_of(old, view), kills.part_of(whole, view)), change
        kills.run(action)
        assert kills.snapshot() == whole, change


def test_views_of_another_training_are_never_used_with_files_of_both(kills, model, plans, dataset_json):
    write_views(model, kills.folder, [0, 1])
    old = kills.snapshot()
    for content in (plans, dataset_json):
        content["hermes"]["members"]["brain"]["labels"] = {"background": 0, "whole": [2, 3], "core": 3}
    plans["hermes"]["rows_per_case"] = 7
    write_model(model, plans, dataset_json, "second")
    kills.keep()

    def action():
        write_views(model, kills.folder, [0, 1])

    kills.run(action)
    whole = kills.snapshot()
    for change in kills.each(action):
        left = kills.snapshot()
        for view in VIEWS:
            own = kills.part_of(left, f"{view}/")
            assert MARKER in own
            if "plans.json" in own and own["plans.json"] != kills.part_of(old, f"{view}/")["plans.json"]:
                assert own == kills.part_of(whole, f"{view}/"), change
            elif "plans.json" in own:
                assert own == kills.part_of(old, f"{view}/"), change
        kills.run(action)
        assert kills.snapshot() == whole, change


@pytest.mark.parametrize("left", ["", "fold_0/validation"])
def test_folders_that_an_older_release_left_without_a_marker_are_no_obstacle(kills, model, left):
    (kills.folder / VIEWS[0] / left).mkdir(parents=True)
    assert all("left alone" not in message for message in write_views(model, kills.folder, [0]))
    assert (kills.folder / VIEWS[0] / "plans.json").is_file()
