"""The processes that a training starts: how one died, and that none outlives it."""

import multiprocessing
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

_POLL_SECONDS = 0.2
_SHARED_MEMORY = Path("/dev/shm")
# Ended in good order, or by those who started them.
_ORDERLY = (None, 0, -signal.SIGTERM)


# nnU-Net's and batchgenerators' words where one of their processes has died.
WORKERS_DIED = "background workers are no longer alive"


class Workers:
    """This process's children that were there at some time."""

    def __init__(self) -> None:
        self._seen: dict[int, BaseProcess] = {}
        # An object's function is called in forked processes as long as the object lives.
        register_after_fork(self, _begin_in_worker)

    def look(self) -> None:
        """Remember the children that there are now."""
        for process in multiprocessing.active_children():
            self._seen[process.pid or 0] = process

    @contextmanager
    def watched(self, when_one_dies: Callable[[], None] | None = None) -> Iterator[None]:
        """Look all the time.

        Args:
            when_one_dies: called once, in another thread.
        """
        end = threading.Event()

        def watch() -> None:
            told = False
            while not end.wait(_POLL_SECONDS):
                self.look()
                if when_one_dies is not None and not told and self._dead():
                    when_one_dies()
                    told = True

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def description_of_dead(self) -> str:
        """Which of them died and how, and the memory that is at hand now."""
        dead = self._dead()
        who = ", ".join(f"{process.name} (pid {process.pid}) {_how(process.exitcode)}" for process in dead)
        return f"{who or 'it failed with the error above'}; {_memory()}"

    def _dead(self) -> list[BaseProcess]:
        return [process for process in list(self._seen.values()) if process.exitcode not in _ORDERLY]


@contextmanager
def told_once() -> Iterator[None]:
    """Within this block, no thread of batchgenerators prints a traceback for what the main thread learns as well."""
    before = threading.excepthook

    def hook(arguments: Any) -> None:
        if WORKERS_DIED not in str(arguments.exc_value):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _begin_in_worker(_: Workers) -> None:
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
