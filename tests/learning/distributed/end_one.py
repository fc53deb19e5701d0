"""A process that shares a training with others, until one of them ends; started by test_peers.py.

python end_one.py MEETING RANK PROCESSES HOW WHICH
"""

import os
import signal
import sys
import threading
from datetime import timedelta

import torch
from torch import distributed

from hermes_nnunet.errors import TrainingEndedError
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
        elif how == "kill the others of which compute":
            threading.Event().wait()  # as in a collective that nothing ends
        distributed.all_reduce(torch.ones(1))


if __name__ == "__main__":
    rank, processes = int(sys.argv[2]), int(sys.argv[3])
    distributed.init_process_group(
        "gloo", f"file://{sys.argv[1]}", timedelta(seconds=120), rank=rank, world_size=processes
    )
    train(rank, sys.argv[4], int(sys.argv[5]))
    distributed.destroy_process_group()
