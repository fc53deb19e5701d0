import json

import pytest

from hermes_nnunet.prediction import folder_record
from hermes_nnunet.prediction.folder_record import FinishedCase, FolderRecord
from hermes_nnunet.prediction.run_record import RunRecord


class Destination:
    """Keeps what is recorded, and makes the clock go on by as long as writing takes."""

    class wishes:  # noqa: N801
        statistics = True

    def __init__(self, records, clock, seconds):
        self.records, self.recorded, self._clock, self._seconds = records, [], clock, seconds

    def record(self, cases):
        self.recorded.append([*cases])
        self._clock[0] += self._seconds


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(folder_record.time, "monotonic", lambda: now[0])
    return now


def added(record, names):
    for name in names:
        record.add(FinishedCase(name, (), None, 1.0, (), {"liver": {"volume_ml": 1.0, "mean_intensity": None}}))


def test_every_case_is_written_where_that_is_quick(tmp_path, clock):
    destination = Destination(tmp_path, clock, 0.0)
    added(FolderRecord(destination, {}), "abc")
    assert destination.recorded == [["a"], ["b"], ["c"]]


def test_several_cases_share_it_where_it_takes_long(tmp_path, clock):
    destination = Destination(tmp_path, clock, 0.5)
    run = RunRecord(tmp_path, [], {"input": "in"})
    record = FolderRecord(destination, {}, run)
    added(record, "abc")
    assert destination.recorded == [["a"]]
    clock[0] += 9.9
    added(record, "d")
    assert destination.recorded == [["a"]]
    clock[0] += 0.1
    added(record, "e")
    assert destination.recorded == [["a"], ["b", "c", "d", "e"]]
    added(record, "f")
    record.end({"g": "broken"})
    assert destination.recorded[2:] == [["f"]]
    (content,) = json.loads((tmp_path / "run.json").read_text())["runs"]
    assert list(content["cases"]) == list("abcdef")
    assert content["failed"] == {"g": "broken"}
    assert list(json.loads((tmp_path / "statistics.json").read_text())["cases"]) == list("abcdef")
