"""The processes of a training on one machine, a GPU each, started and ended together."""

import argparse
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

from hermes_nnunet.core.processes import available_cores, end_with_parent

# The others end by themselves within forty seconds of one.
_ENDING_SECONDS = 60.0
_PASSED_ON = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_FAILED = 1


def launch(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace, processes: int) -> int:
    """Run a function in so many processes as torchrun would, and wait until all have ended.

    Signals are passed on to them, and they end with this process, however that ends. Where one of them fails, others
    that do not end by themselves are killed.

    Args:
        run: what each of them does with the arguments; returns its exit code.

    Returns:
        The exit code that all who failed have, else 1; 0 where none has failed.
    """
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=_run_as, args=(run, arguments, rank, processes, port)) for rank in range(processes)
    ]
    with _passing_signals_to(started):
        try:
            for process in started:
                process.start()
            _wait_for(started)
        finally:
            for process in started:
                if process.is_alive():
                    process.kill()
                    process.join()
    codes = {process.exitcode for process in started} - {0}
    code = codes.pop() if len(codes) == 1 else _FAILED if codes else 0
    return code if code is not None and code >= 0 else _FAILED


def _wait_for(processes: Sequence[BaseProcess]) -> None:
    """Until all have ended, or for a while after one has failed."""
    deadline: float | None = None
    while running := [process for process in processes if process.exitcode is None]:
        # One may have failed before the last was started.
        if deadline is None and any(process.exitcode for process in processes):
            deadline = time.monotonic() + _ENDING_SECONDS
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return
        wait([process.sentinel for process in running], left)


def _run_as(
    run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace, rank: int, processes: int, port: int
) -> None:
    end_with_parent()
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // processes)))
    sys.exit(run(arguments))


@contextmanager
def _passing_signals_to(processes: Sequence[BaseProcess]) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        for process in processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
