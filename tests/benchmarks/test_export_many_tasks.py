import pytest


def test_streamed_and_unstreamed_decide_alike(run_benchmark):
    sides = ("--sides", "unstreamed", "streamed", "--scenes", "organs")
    unstreamed, streamed = run_benchmark("export_many_tasks", "--tasks", 9, "--size", 24, *sides)
    assert (unstreamed["side"], streamed["side"]) == ("unstreamed", "streamed")
    assert streamed["equal to unstreamed"] == 1
    assert 0 < streamed["foreground"] < 1
    assert streamed["time ratio"] == pytest.approx(streamed["s"] / unstreamed["s"])
    assert streamed["MB"] > 0
