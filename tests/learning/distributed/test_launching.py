import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "launch_some.py"
TIMEOUT_S = 60


def start(how):
    return subprocess.Popen([sys.executable, SCRIPT, how], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process):
    printed, _ = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, printed


def waiting(process):
    """Their numbers, once both wait."""
    found = []
    while len(found) < 2:
        line = process.stdout.readline()
        assert line, "they have ended"
        if line.startswith("waiting"):
            found.append(int(line.split()[1]))
    return found


def test_each_has_its_place():
    code, printed = ended(start("fine"))
    assert code == 0
    assert sorted(printed.splitlines()) == ["0 0 2 True", "1 1 2 True"]


def test_a_kill_of_one_is_a_failure_without_a_traceback():
    code, printed = ended(start("killed"))
    assert code == 1
    assert "Traceback" not in printed


@pytest.mark.parametrize("how", ["hangs", "fails early"])
def test_one_that_does_not_end_after_the_failure_of_another_is_killed(how):
    process = start(how)
    begun = time.monotonic()
    assert ended(process)[0] == 1
    assert time.monotonic() - begun < TIMEOUT_S / 2


def test_a_signal_is_passed_on_and_told_by_the_exit_code():
    process = start("signal")
    waiting(process)
    process.terminate()
    assert ended(process)[0] == 143


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_none_outlives_the_one_that_started_it():
    process = start("orphans")
    pids = waiting(process)
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT_S
    while any(is_there(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.wait()


def is_there(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
