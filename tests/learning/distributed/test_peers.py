import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_nnunet.learning.distributed.peers import watched_peers

SCRIPT = Path(__file__).parent / "end_one.py"
TIMEOUT_S = 60


@pytest.fixture
def run(tmp_path):
    """A function that runs processes of which one ends: exit code and errors of each, and the seconds it took."""

    def of(processes, how, which):
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        arguments = [[tmp_path / "meeting", rank, processes, how, which] for rank in range(processes)]
        started = [
            subprocess.Popen(
                [sys.executable, SCRIPT, *map(str, own)], env=environment, stderr=subprocess.PIPE, text=True
            )
            for own in arguments
        ]
        try:
            started[which].wait(TIMEOUT_S)
            ended = time.monotonic()
            errors = [process.communicate(timeout=TIMEOUT_S)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        return [process.returncode for process in started], errors, time.monotonic() - ended

    return of


def line_of(rank, reason):
    return (
        f"hermes_nnunet: error: rank {rank} on {platform.node()} has ended ({reason}), so the others end as well: look "
        f"for its error there, and continue with --c\n"
    )


def without_librarys_log(errors):
    """What gloo and the rest of torch log of their own accord begins with [ or a letter and numbers."""
    return "".join(line for line in errors.splitlines(keepends=True) if not line.startswith(("[", "W1", "E1")))


@pytest.mark.distributed
class TestLoss:
    @pytest.mark.parametrize(("processes", "which"), [(2, 0), (2, 1), (3, 0), (3, 1)])
    def test_of_a_killed_process_is_one_line_of_each_other(self, run, processes, which):
        codes, errors, seconds = run(processes, "kill", which)
        for rank in set(range(processes)) - {which}:
            assert codes[rank] == 1
            assert without_librarys_log(errors[rank]) == line_of(which, "it was killed, or its machine is gone")
        assert seconds < 30

    def test_is_noticed_where_no_collective_ends(self, run):
        codes, errors, seconds = run(3, "kill the others of which compute", 1)
        for rank in (0, 2):
            assert codes[rank] == 1
            assert without_librarys_log(errors[rank]) == line_of(1, "it was killed, or its machine is gone")
        assert seconds < 30

    @pytest.mark.parametrize(("how", "reason"), [("problem", "case b: no such file"), ("fault", "division by zero")])
    def test_with_an_error_is_told_with_it(self, run, how, reason):
        codes, errors, _ = run(2, how, 1)
        assert codes == [1, 1]
        assert without_librarys_log(errors[0]) == line_of(1, reason)
        # A fault of ours keeps its traceback, where it happened.
        assert ("Traceback" in errors[1]) == (how == "fault")

    @pytest.mark.parametrize(("how", "code"), [("none", 0), ("agreed", 143)])
    def test_is_none_at_the_end(self, run, how, code):
        codes, errors, _ = run(3, how, 0)
        assert codes == [code] * 3
        assert [without_librarys_log(text) for text in errors] == ["", "", ""]


def test_a_single_process_has_none():
    with watched_peers() as peers:
        assert peers is None
