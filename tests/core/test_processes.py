import os
from pathlib import Path

import pytest

from hermes_nnunet.core.processes import available_cores, default_processes, map_cases
from hermes_nnunet.errors import HermesError


class TestAvailableCores:
    def test_are_those_of_the_affinity(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 6}, raising=False)
        assert (available_cores(), default_processes()) == (3, 3)

    def test_are_all_where_the_system_has_no_affinity(self, monkeypatch):
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 12)
        assert (available_cores(), default_processes()) == (12, 8)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_cases(processes):
    assert map_cases(len, ["abc", "", "ab"], processes, "Counting") == [3, 0, 2]


class TestAProcessThatDies:
    def test_is_told_with_what_to_do(self):
        with pytest.raises(
            HermesError, match=r"of 2 processes died while reading, .* with fewer --processes; finished"
        ):
            map_cases(os._exit, [1, 1], 2, "Reading")

    def test_advice_is_the_callers(self):
        with pytest.raises(HermesError, match=r"memory ran out: set nnUNet_def_n_proc$"):
            map_cases(os._exit, [1, 1], 2, "Reading", when_one_died="set nnUNet_def_n_proc")

    def test_an_error_of_the_function_is_its_own(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
            map_cases(Path.read_text, [tmp_path / "absent.txt"] * 2, 2, "Reading")
