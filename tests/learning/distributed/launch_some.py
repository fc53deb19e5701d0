"""Processes that are started together and end in different ways; started by test_launching.py with the way's name."""

import argparse
import os
import signal
import sys
import time
from multiprocessing.context import SpawnProcess

from hermes_nnunet.learning.distributed import launching


def run(arguments):
    """The life of one of the processes."""
    rank = int(os.environ["RANK"])
    print(rank, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"], os.environ["MASTER_PORT"].isdigit(), flush=True)
    if arguments.how == "killed" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if (arguments.how == "hangs" and rank == 1) or (arguments.how == "fails early" and rank == 0):
        return 3
    if arguments.how in ("signal", "orphans", "hangs", "fails early"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print("waiting", os.getpid(), flush=True)
        time.sleep(60)
    return int(arguments.how == "killed")


def end_first(process):
    """Start a process, and wait until it has ended if it is the first."""
    is_first = process._args[2] == 0
    start_process(process)
    if is_first:
        process.join()


if __name__ == "__main__":
    launching._ENDING_SECONDS = 0.5
    if sys.argv[1] == "fails early":
        start_process, SpawnProcess.start = SpawnProcess.start, end_first
    sys.exit(launching.launch(run, argparse.Namespace(how=sys.argv[1]), 2))
