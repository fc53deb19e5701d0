"""Signals that end a training: noticed at once, obeyed where nothing is lost."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hermes_nnunet.core.processes import end_children
from hermes_nnunet.errors import TrainingEndedError

# Ctrl-C, the end of a job, and the warning before it (SLURM's --signal); Windows has no SIGUSR1.
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
# Job managers send a signal to every process, and torchrun passes it on once more.
_SAME_PRESS_SECONDS = 2.0
# A pool of processes waits for ever for the lock that a killed one of them held.
_LEAVING_SECONDS = 15.0


def exit_code(number: int) -> int:
    """The code by which shells report a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


class Signals:
    """What has been received, and what is done then.

    Attributes:
        received: the first signal that asked for the end; None while there is none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._failure: str | None = None
        self._raises = False
        self._first_time = 0.0
        self._last_resort: threading.Timer | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block signals are noted for whoever looks; a second Ctrl-C ends at once."""
        with self._handled():
            yield

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within this block a signal, or `fail`, raises at once; if the block is not left then, the process exits.

        Raises:
            SystemExit: a signal came, with its `exit_code`.
            TrainingEndedError: `fail` was called.
        """
        self._raises = True
        try:
            with self._handled(), self._kept_from_new_processes():
                if self.received is not None:
                    self._raise()
                yield
        finally:
            self._raises = False
            if self._last_resort is not None:
                self._last_resort.cancel()

    def fail(self, message: str) -> None:
        """Let the main thread raise; called by other threads."""
        self._failure = message
        self._wake_main_thread()

    @contextmanager
    def _handled(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = {number: signal.getsignal(number) for number in _ENDING}
        # What is ignored stays so: Ctrl-C in commands that a script has put into the background.
        handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in handled:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = self.received is None
        if first and self._failure is None:
            self.received = signal.Signals(number)
            self._first_time = time.monotonic()
        pressed_again = number == signal.SIGINT and time.monotonic() - self._first_time > _SAME_PRESS_SECONDS
        if self._raises or (not first and pressed_again):
            self._raise()

    def _raise(self) -> None:
        if self._raises:
            # Once: what is left to be done while the exception passes is not interrupted.
            self._raises = False
            self._last_resort = threading.Timer(_LEAVING_SECONDS, self._exit)
            self._last_resort.daemon = True
            self._last_resort.start()
        if self._failure is not None:
            raise TrainingEndedError(self._failure)
        raise SystemExit(self._exit_code)

    @property
    def _exit_code(self) -> int:
        return 1 if self.received is None else exit_code(self.received)

    def _exit(self) -> None:
        end_children()
        why = self._failure or f"ended by {signal.Signals(self._exit_code - 128).name}"
        print(f"hermes_nnunet: error: {why}", file=sys.stderr, flush=True)
        os._exit(self._exit_code)

    @contextmanager
    def _kept_from_new_processes(self) -> Iterator[None]:
        """Ctrl-C reaches this process, but none that it starts in the block: each would print a traceback.

        The main thread blocks it, which new processes inherit. A thread listens instead.
        """
        if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
            yield
            return
        listening, writing = socket.socketpair()
        writing.setblocking(False)
        thread = threading.Thread(target=self._listen, args=(listening,), daemon=True)
        thread.start()
        fd_before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            self._raises = False
            signal.pthread_sigmask(signal.SIG_SETMASK, mask_before)
            signal.set_wakeup_fd(fd_before)
            writing.close()
            thread.join()
            listening.close()

    def _listen(self, numbers: socket.socket) -> None:
        while number := numbers.recv(1):
            if number[0] == signal.SIGINT and self.received is None:
                self.received = signal.SIGINT
                self._wake_main_thread()

    @staticmethod
    def _wake_main_thread() -> None:
        """It may wait for something that never comes, and would not see what another thread has noted."""
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            os.kill(os.getpid(), signal.SIGINT)


def leave_signals_to_parent() -> None:
    """In a process that was forked: it ends when it is told by its parent, or with it, not by what ends a training."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
