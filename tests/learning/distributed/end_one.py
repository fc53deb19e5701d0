"""Processes that share a training until one of them ends; started by test_peers.py.

They are forked from this one, which has imported torch once for all. Each line of its input is a case:
{"folder": of the meeting and of what rank N prints, printed_N.txt, "processes": their number, "how": one ends, "which":
one}. Its answer is a line, too: {"codes": exit code of each, "seconds": from the end of that one to the last}.
"""

import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.distributed import peers
from hermes_nnunet.learning.distributed.peers import end_together, watched_peers


def end(how: str) -> None:
    """End as asked for; "none" is to go on."""
    if how.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "problem":
        raise TrainingEndedError("case b: no such file")
    if how == "fault":
        raise ZeroDivisionError("division by zero")


def train(rank: int, how: str, which: int) -> None:
    """Two steps in common; between them one process ends."""
    with watched_peers(), watched_peers():
        distributed.all_reduce(torch.ones(1))
        if how == "agreed":
            end_together()
            raise SystemExit(143)
        if rank == which:
            end(how)
        elif how.startswith("kill the others of which"):
            if how.endswith("nobody listens to"):
                reading, writing = os.pipe()
                os.close(reading)
                os.dup2(writing, 2)
            threading.Event().wait()  # as in a collective that nothing ends
        distributed.all_reduce(torch.ones(1))


def take_part(rank: int, case: dict[str, Any]) -> None:
    """The whole life of one of the processes."""
    folder = Path(case["folder"])
    printed = os.open(folder / f"printed_{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(printed, stream)
    distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=120), rank=rank, world_size=case["processes"]
    )
    train(rank, case["how"], case["which"])
    distributed.destroy_process_group()


def forked(case: dict[str, Any]) -> int | None:
    """In each new process its rank; in this one None, after they all have ended and the answer is given."""
    pids = []
    for rank in range(case["processes"]):
        pid = os.fork()
        if pid == 0:
            return rank
        pids.append(pid)
    codes, ends = {}, {}
    for _ in pids:
        pid, status = os.wait()
        codes[pid], ends[pid] = os.waitstatus_to_exitcode(status), time.monotonic()
    seconds = max(ends.values()) - ends[pids[case["which"]]]
    print(json.dumps({"codes": [codes[pid] for pid in pids], "seconds": seconds}), flush=True)
    return None


if __name__ == "__main__":
    peers._OWN_END_SECONDS = 3.0
    for line in sys.stdin:
        rank = forked(json.loads(line))
        if rank is not None:
            take_part(rank, json.loads(line))
            break  # and end as every Python does
