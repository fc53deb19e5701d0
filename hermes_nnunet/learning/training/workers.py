"""The processes that a training starts: how one died, and that none outlives it."""

import multiprocessing
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import Any

from hermes_nnunet.core.memory import available_memory
from hermes_nnunet.core.processes import end_with_parent
from hermes_nnunet.learning.training.signals import leave_signals_to_parent

_POLL_SECONDS = 0.05
_ENDING_SECONDS = 5.0
_SHARED_MEMORY = Path("/dev/shm")
# Ended in good order, or by those who started them.
_ORDERLY = (None, 0, -signal.SIGTERM)


# nnU-Net's and batchgenerators' words where one of their processes has died.
WORKERS_DIED = "background workers are no longer alive"


class Workers:
    """The processes that the training or validation starts which this process runs, not its other children."""

    def __init__(self) -> None:
        self._seen: dict[int, BaseProcess] = {}
        self._others: set[int | None] = set()
        self._first_number: int | None = None
        self.are_starting = False
        # An object's function is called in forked processes as long as the object lives.
        register_after_fork(self, _begin_in_worker)

    def look(self) -> None:
        """Remember those that there are now."""
        for process in multiprocessing.active_children():
            if process.pid not in self._others:
                self._seen[process.pid or 0] = process

    @contextmanager
    def watched(self, when_one_dies: Callable[[], None] | None = None) -> Iterator[None]:
        """Look all the time for those that are started in this block; an exception ends them.

        Args:
            when_one_dies: called once, in another thread.
        """
        end = threading.Event()
        self._seen.clear()
        self._others = {process.pid for process in multiprocessing.active_children()}
        self._first_number = _number(multiprocessing.Process())  # none that is started later has a lower one

        def watch() -> None:
            told = False
            while not end.wait(_POLL_SECONDS):
                self.look()
                if when_one_dies is not None and not told and (self._dead() or self._unseen()):
                    when_one_dies()
                    told = True

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        self.are_starting = True
        try:
            yield
        except BaseException:
            self.look()
            own = list(self._seen.values())
            for process in own:
                process.terminate()
            for process in own:
                process.join(_ENDING_SECONDS)
            raise
        finally:
            self.are_starting = False
            end.set()
            thread.join()

    def description_of_dead(self) -> str:
        """Which of them died and how, and the memory that is at hand now."""
        dead = self._dead()
        known = [f"{process.name} (pid {process.pid}) {_how(process.exitcode)}" for process in dead]
        who = ", ".join([*known, *(f"process {number} ended right after its start" for number in self._unseen())])
        return f"{who or 'it failed with the error above'}; {_memory()}"

    def _dead(self) -> list[BaseProcess]:
        return [process for process in list(self._seen.values()) if process.exitcode not in _ORDERLY]

    def _unseen(self) -> list[int]:
        """Numbers of processes of the block that were gone before anybody looked; their pool starts others instead."""
        numbers = {number for process in list(self._seen.values()) if (number := _number(process)) is not None}
        if self._first_number is None or not numbers:
            return []
        return [number for number in range(self._first_number + 1, max(numbers)) if number not in numbers]


def _number(process: BaseProcess) -> int | None:
    """The number of a process among all that this one has made, which multiprocessing gives it with its name."""
    match = re.fullmatch(r"\w+-(?:\d+:)*(\d+)", process.name)
    return int(match[1]) if match else None


@contextmanager
def told_once() -> Iterator[None]:
    """Within this block, batchgenerators' thread prints no traceback of a worker's death: the main thread tells it."""
    before = threading.excepthook

    def hook(arguments: Any) -> None:
        error = arguments.exc_value
        # A worker that died while it handed over a batch has cut the connection.
        name = getattr(arguments.thread, "name", "")
        is_cut = isinstance(error, EOFError | ConnectionError) and "results_loop" in name
        if not is_cut and WORKERS_DIED not in str(error):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _begin_in_worker(workers: Workers) -> None:
    if workers.are_starting:
        leave_signals_to_parent()
        end_with_parent()


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    why = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.strsignal(-code)} (signal {-code}){why}"


def _memory() -> str:
    memory = available_memory()
    texts = [] if memory is None else [f"{memory / 2**30:.1f} GiB of memory"]
    if _SHARED_MEMORY.is_dir():
        texts.append(f"{shutil.disk_usage(_SHARED_MEMORY).free / 2**30:.1f} GiB of {_SHARED_MEMORY}")
    return f"{' and '.join(texts)} are free now" if texts else "the free memory is not known here"
