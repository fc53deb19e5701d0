import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hermes_nnunet.learning.distributed import peers
from hermes_nnunet.learning.distributed.peers import LostPeer, watched_peers

SCRIPT = Path(__file__).parent / "end_one.py"
TIMEOUT_S = 120
SOON_S = 60  # until the others have ended


@pytest.fixture(scope="module")
def starter():
    """The process from which all others are forked."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, SCRIPT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.stdin.close()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def run(starter, tmp_path):
    """A function that runs processes of which one ends: exit code and output of each, and the seconds it took."""

    def of(processes, how, which):
        print(
            json.dumps({"folder": str(tmp_path), "processes": processes, "how": how, "which": which}),
            file=starter.stdin,
            flush=True,
        )
        timer = threading.Timer(TIMEOUT_S, os.killpg, (starter.pid, signal.SIGKILL))
        timer.start()
        answer = json.loads(starter.stdout.readline() or pytest.fail("they do not end"))
        timer.cancel()
        errors = [(tmp_path / f"printed_{rank}.txt").read_text() for rank in range(processes)]
        return answer["codes"], errors, answer["seconds"]

    return of


def line_of(rank, reason):
    return (
        f"hermes_nnunet: error: rank {rank} on {platform.node()} has ended ({reason}), so the others end as well: look "
        f"for its error there, and continue with --c\n"
    )


def without_librarys_log(printed):
    """What gloo and the rest of torch log of their own accord begins with [ or a letter, month and day."""
    return "".join(line for line in printed.splitlines(keepends=True) if not re.match(r"\[|[IWEF]\d{4} ", line))


@pytest.mark.distributed
class TestLoss:
    @pytest.mark.parametrize(("processes", "which"), [(2, 0), (2, 1), (3, 0), (3, 1)])
    def test_of_a_killed_process_is_one_line_of_each_other(self, run, processes, which):
        codes, errors, seconds = run(processes, "kill", which)
        for rank in set(range(processes)) - {which}:
            assert codes[rank] == 1
            assert without_librarys_log(errors[rank]) == line_of(which, "it was killed, or its machine is gone")
        assert seconds < SOON_S

    def test_is_noticed_where_no_collective_ends(self, run):
        codes, errors, seconds = run(3, "kill the others of which compute", 1)
        for rank in (0, 2):
            assert codes[rank] == 1
            assert without_librarys_log(errors[rank]) == line_of(1, "it was killed, or its machine is gone")
        assert seconds < SOON_S

    def test_ends_a_process_that_nobody_listens_to(self, run):
        codes, _, seconds = run(2, "kill the others of which nobody listens to", 1)
        assert codes[0] == 1
        assert seconds < SOON_S

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
    with watched_peers() as present:
        assert present is None


class OneThatHasLost:
    """Peers of which one is lost."""

    lost = LostPeer(1, "machine", "it was killed")
    is_closed = False

    def __init__(self):
        self.told = []

    def wait_for_news(self, seconds):
        pass

    def exit(self):
        raise InterruptedError("this process exits")

    def close(self, reason=None):
        self.told.append(reason)


@pytest.mark.parametrize(
    ("error", "seen"), [(RuntimeError("connection closed"), InterruptedError), (KeyError("x"), KeyError)]
)
def test_an_error_of_its_own_is_not_hidden_by_a_loss(monkeypatch, error, seen):
    """Only what a collective may have raised is taken for a consequence of the loss."""
    monkeypatch.setattr(peers, "number_of_processes", lambda: 2)
    monkeypatch.setattr(peers, "Peers", OneThatHasLost)
    with pytest.raises(seen), watched_peers() as present:
        raise error
    assert present.told == ([] if seen is InterruptedError else ["'x'"])
    with watched_peers() as another:
        assert another is not present
