"""Kills while additions are put into a model: nothing trained is lost, and the next try makes the whole."""

import shutil

import pytest

from hermes_nnunet.weights.additions.adding import add


@pytest.fixture
def model(base, addition, kills):
    """A model of one fold and an addition to it, in the folder of the kills; its files in a fixed order of views."""
    shutil.rmtree(base / "fold_1")
    path = kills.folder / "a.hermes"
    addition().save(path)
    # What is imported on the way is imported here, not in every process.
    add([path], base, results=base.parents[1], into=903)
    target = kills.folder / "results" / base.parent.name / base.name
    target.parent.mkdir(parents=True)
    shutil.copytree(base, target)
    return target


def test_new_model_is_whole_or_not_there(model, kills):
    results = kills.folder / "results"
    action = lambda: add([kills.folder / "a.hermes"], model, results=results, into=902)  # noqa: E731
    kills.leave_all_or_nothing(action, f"results/Dataset902_Both/{model.name}/")


def test_what_is_taken_out_is_out_wholly(model, kills):
    results = kills.folder / "results"
    kills.run(lambda: add([kills.folder / "a.hermes"], model, results=results))
    action = lambda: add([], model, results=results, without=["New305"])  # noqa: E731
    kills.keep()
    kills.run(action)
    whole = kills.snapshot()
    for change in kills.each(action):
        kills.run(action)
        assert kills.snapshot() == whole, change


def test_change_in_place_loses_nothing(model, kills):
    action = lambda: add([kills.folder / "a.hermes"], model, results=kills.folder / "results")  # noqa: E731
    kills.keep()
    old = kills.part_of(kills.snapshot(), f"results/Dataset900_Both/{model.name}/")
    kills.run(action)
    whole = kills.snapshot()
    new = kills.part_of(whole, f"results/Dataset900_Both/{model.name}/")
    for change in kills.each(action):
        left = kills.snapshot()
        places = [f"results/Dataset900_Both/{name}/" for name in (model.name, f".{model.name}.before")]
        assert any(kills.part_of(left, place) in (old, new) for place in places), change
        kills.run(action)
        assert kills.snapshot() == whole, change
