"""The benchmark of workers: what its rows say, without the hours of commands."""

import importlib
from functools import partial
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cluster")


@pytest.fixture
def work(cluster, monkeypatch):
    """A function that makes a work whose commands only say that they were called, and the list of what they said."""
    called = []
    seconds = {"few here": 1.0, "few there": 2.0, "here": 10.0, "there": 12.0}

    def timed(run):
        run()
        return cluster.Took(seconds[called[-1][1]], 3 * seconds[called[-1][1]])

    def killing(run, every_seconds):
        run()
        called.append(("killed", every_seconds))
        return 4

    monkeypatch.setattr(cluster, "timed", timed)
    monkeypatch.setattr(cluster, "killing", killing)

    def make(name, same=lambda: True):
        say = [partial(called.append, (name, what)) for what in ("here", "there", "few here", "few there")]
        return cluster.Work(name, 20, *say, same)

    return make, called


def test_a_ratio_is_of_one_turn_and_the_start_has_a_row_of_its_own(cluster, work):
    make, _ = work
    start, whole = cluster.measure([make("prediction")], 3, 20.0)
    assert (start["work"], start["cases"], whole["work"], whole["cases"]) == ("prediction: start", 2, "prediction", 20)
    assert (start["elapsed ratio"], whole["elapsed ratio"]) == (2.0, 1.2)
    assert (whole["processor s"], whole["processor s, local:2"]) == (30.0, 36.0)
    assert (whole["equal"], whole["workers killed"], whole["equal after kills"]) == ("True", "4", "True")
    assert start.keys() == whole.keys()


def test_workers_are_killed_when_all_has_been_timed(cluster, work):
    make, called = work
    cluster.measure([make("first"), make("second")], 1, 7.0)
    timed = [(name, what) for name in ("first", "second") for what in ("few here", "few there", "here", "there")]
    assert called == [*timed, ("first", "there"), ("killed", 7.0), ("second", "there"), ("killed", 7.0)]


def test_workers_live_long_enough_to_begin(cluster, work):
    make, called = work
    _, whole = cluster.measure([make("first")], 1, 3.0)
    assert called[-1] == ("killed", 4.0)
    assert whole["killed every s"] == "4"


def test_files_that_differ_after_kills_are_told(cluster, work):
    make, _ = work
    answers = iter([True, False])
    _, whole = cluster.measure([make("prediction", lambda: next(answers))], 1, 20.0)
    assert (whole["equal"], whole["equal after kills"]) == ("True", "False")
