"""Every benchmark of a few seconds, in a size in which its figures mean nothing but must be there."""

import importlib

import pytest

SMALL_NETWORK = ("--widths", 4, 8, 16, "--blocks", 1, 1, 1)


def test_training_step_compares_the_networks(run_benchmark):
    contexts = ("--contexts", "2", "2 and 23")
    plain, *hermes = run_benchmark("training_step", "--patch", 16, *SMALL_NETWORK, *contexts)
    assert [row["network"] for row in hermes] == ["hermes, 2 tasks", "hermes, 2 and 23 tasks"]
    assert plain["ratio"] == plain["MB ratio"] == 1
    for row in hermes:
        assert row["ratio"] == pytest.approx(row["s"] / plain["s"])
        assert row["MB with AdamW"] > row["MB"] > 0


def test_loss_gives_the_plain_formulas_gradients(run_benchmark):
    (row,) = run_benchmark("loss", "--tasks", 3, "--size", 16)
    assert row["gradient difference"] < 1e-5
    assert row["memory ratio"] == pytest.approx(row["hermes MB"] / row["plain MB"])


def test_loading_counts_patches(run_benchmark):
    (row,) = run_benchmark("loading", "--patch", 16, "--size", 24, "--stages", 3, "--batches", 1)
    assert row["throughput ratio"] == pytest.approx(row["hermes patches/s"] / row["plain patches/s"])


def test_one_model_loads_and_predicts(run_benchmark):
    load, predict = run_benchmark("one_model", "--patch", 16, "--size", 16, *SMALL_NETWORK)
    assert load["one universal s"] > 0
    assert predict["one universal s"] > 0
    assert load["memory ratio"] > 0


def test_passes_compares_everything_with_a_member(run_benchmark):
    sides = ("one member", "everything", "each member")
    small = ("--patch", 16, "--size", 16, *SMALL_NETWORK)
    rows = run_benchmark("passes", *small, "--tasks", 12, "--sides", *sides)
    assert [(row["members"], row["tasks of the first"], row["side"]) for row in rows] == [
        (members, tasks, side) for members, tasks in ((2, 6), (11, 2)) for side in sides
    ]
    for first, everything, each in (rows[:3], rows[3:]):
        assert first["ratio"] == first["MB ratio"] == 1
        assert everything["ratio"] == pytest.approx(everything["s"] / first["s"])
        assert each["MB"] > 0


def test_start_up_waits_for_output(run_benchmark):
    python, help_, doctor = run_benchmark("start_up")
    assert python["seconds"] < help_["seconds"]
    assert python["seconds"] < doctor["seconds"]


class TestPeakMegabytes:
    def test_is_the_most_that_tensors_took_at_one_time(self, run_benchmark):
        import torch

        def allocate():
            first = torch.zeros(1_000_000)
            second = first + 1
            del first
            return second * 2

        peak = importlib.import_module("measuring").peak_megabytes(allocate, torch.device("cpu"))
        assert peak == pytest.approx(8, rel=0.01)


@pytest.mark.slow
def test_scale_takes_every_step_for_every_number_of_cases(run_benchmark):
    rows = run_benchmark("scale", "--cases", 40)
    assert [row["step"] for row in rows] == [
        "merge", "merge, up to date", "plan", "preprocess, a part", "start of a training", "views", "inspect",
    ]  # fmt: skip
    for row in rows:
        assert row["processor ms a case"] == pytest.approx(25 * row["processor s"])
        assert row["peak MB"] > 50
    (start,) = [row for row in rows if row["bytes a case of the list"]]
    assert float(start["checkpoint MB"]) > 0


@pytest.mark.end_to_end
def test_planned_memory_trains_what_it_has_planned(run_benchmark, tmp_path):
    small = ("--device", "cpu", "--size", 32, "--steps", 1, "--warm-up", 0)
    (row,) = run_benchmark("planned_memory", tmp_path / "work", *small, "--plans", "HermesSPlans")
    assert (row["plans"], row["patch"], row["planned GB"]) == ("HermesSPlans", "32 x 32 x 32", 0.3)
    assert row["s"] > 0
    assert row["loss"] > 0
