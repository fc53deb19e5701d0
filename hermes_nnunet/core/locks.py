"""Locks of folders that one process at a time writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hermes_nnunet.errors import HermesError


@contextmanager
def locked_at_once(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock within this block; that of a process that was killed is free.

    Args:
        path: of the lock's file.
        otherwise: what people are told where another process holds it.

    Raises:
        HermesError: another process holds it.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise HermesError(otherwise) from None
    try:
        yield
    finally:
        lock.release()
