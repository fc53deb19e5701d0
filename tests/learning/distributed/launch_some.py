"""Processes that are started together and end in different ways; started by test_launching.py with the way's name."""

import argparse
import os
import signal
import sys
import time

from hermes_nnunet.learning.distributed import launching


def run(arguments):
    """The life of one of the processes."""
    rank = int(os.environ["RANK"])
    print(rank, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"], os.environ["MASTER_PORT"].isdigit(), flush=True)
    if arguments.how == "killed" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if arguments.how == "hangs" and rank == 1:
        return 3
    if arguments.how in ("signal", "orphans", "hangs"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print("waiting", os.getpid(), flush=True)
        time.sleep(60)
    return int(arguments.how == "killed")


if __name__ == "__main__":
    launching._ENDING_SECONDS = 0.5
    sys.exit(launching.launch(run, argparse.Namespace(how=sys.argv[1]), 2))
