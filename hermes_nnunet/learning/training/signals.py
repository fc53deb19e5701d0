"""Signals that end a training: noticed at once, obeyed where nothing is lost."""

import _thread
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hermes_nnunet.errors import TrainingEndedError

# Ctrl-C, the end of a job, and the warning before it (SLURM's --signal); Windows has no SIGUSR1.
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
# Job managers send a signal to every process, and torchrun passes it on once more.
_SAME_PRESS_SECONDS = 2.0
# What is done while an exception passes may hang: a pool of processes waits for ever for a lock of one that was killed.
_LEAVING_SECONDS = 5.0
# What makes the main thread see what another thread has noted, even where it waits for something that never comes.
_WAKING = signal.SIGTERM if hasattr(signal, "pthread_kill") else signal.SIGINT


class EndedBySignalError(SystemExit):
    """A signal has ended a training or a validation.

    Attributes:
        signal: which.
        code: that by which shells report a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class Signals:
    """What has been received, and is not told by an exception yet.

    Attributes:
        received: the first signal that asked for the end; None while there is none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._failure: str | None = None
        self._raises = False
        self._raises_from = 0.0
        self._again: threading.Timer | None = None
        # Without a handler, what wakes the main thread would end the process.
        self._wakeable = False
        self._lock = threading.Lock()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Within this block signals are noted for whoever looks; a second Ctrl-C ends at once."""
        with self._told_once(), self._handled():
            yield

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within this block a signal, or `fail`, raises at once, and again as long as the block is not left.

        In another thread than the main one nothing is raised.

        Raises:
            EndedBySignalError: a signal came.
            TrainingEndedError: `fail` was called.
        """
        self._raises, self._raises_from = True, 0.0
        try:
            with self._told_once(), self._handled(), self._kept_from_new_processes():
                if self.received is not None:
                    self._raise()
                yield
        finally:
            self._raises = False
            if self._again is not None:
                self._again.cancel()

    def fail(self, message: str) -> None:
        """Let the main thread raise; called by other threads."""
        self._failure = message
        self._wake_main_thread()

    @contextmanager
    def _told_once(self) -> Iterator[None]:
        """After an exception, the next training or validation of this process knows nothing of the old signal."""
        try:
            yield
        except BaseException:
            self.received = self._failure = None
            raise

    @contextmanager
    def _handled(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = {number: signal.getsignal(number) for number in _ENDING}
        # What is ignored stays so: Ctrl-C in commands that a script has put into the background. None is a handler that
        # is not Python's; it could not be set again.
        handled = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        for number in handled:
            signal.signal(number, self._handle)
        self._wakeable = _WAKING in handled
        try:
            yield
        finally:
            self._raises = False
            with self._lock:
                self._wakeable = False
            for number in handled:
                signal.signal(number, before[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_second = self.received is not None and now - self._received_at > _SAME_PRESS_SECONDS
        if self.received is None and self._failure is None:
            self.received, self._received_at = signal.Signals(number), now
        if (self._raises and now >= self._raises_from) or (is_second and number == signal.SIGINT):
            self._raise()

    def _raise(self) -> None:
        if self._raises:
            # What is left to be done while the exception passes has its time.
            self._raises_from = time.monotonic() + _LEAVING_SECONDS
            self._again = threading.Timer(_LEAVING_SECONDS, self._wake_main_thread)
            self._again.daemon = True
            self._again.start()
        if self.received is not None:
            raise EndedBySignalError(self.received)
        raise TrainingEndedError(self._failure or "")

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
                self.received, self._received_at = signal.SIGINT, time.monotonic()
                self._wake_main_thread()

    def _wake_main_thread(self) -> None:
        with self._lock:
            if not self._wakeable:
                return
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, _WAKING)
            else:
                _thread.interrupt_main(_WAKING)


def leave_signals_to_parent() -> None:
    """In a process that was forked: it ends when it is told by its parent, or with it, not by what ends a training."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
