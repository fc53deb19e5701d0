import time

import pytest

from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.training.save_interval import SaveInterval


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("text", "minutes"), [(None, 10), ("", 10), ("2.5", 2.5)])
def test_is_over_after_the_minutes_that_are_asked_for(clock, monkeypatch, text, minutes):
    if text is None:
        monkeypatch.delenv("HERMES_SAVE_MINUTES", raising=False)
    else:
        monkeypatch.setenv("HERMES_SAVE_MINUTES", text)
    interval = SaveInterval()
    for _ in range(2):
        clock[0] += 60 * minutes - 1
        assert not interval.is_over
        clock[0] += 1
        assert interval.is_over
        interval.restart()


@pytest.mark.parametrize("text", ["0", "-1", "ten", "nan"])
def test_what_is_no_time_is_refused(monkeypatch, text):
    monkeypatch.setenv("HERMES_SAVE_MINUTES", text)
    with pytest.raises(TrainingEndedError, match=f"HERMES_SAVE_MINUTES={text}: give the minutes"):
        SaveInterval()
