"""A disk of a few pages, where the system lets one be made: what writes past Python meets its end, too."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PAGE = 4096
_LARGE = 1 << 30


@cache
def can_be_made(folder: Path) -> bool:
    """Whether this process may mount one over a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with small_disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """An empty disk over a folder, which is as large as anybody needs until `resize`."""
    _call("mount", "-t", "tmpfs", "-o", f"size={_LARGE}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _call("umount", str(folder))


def resize(folder: Path, free: int | None = None) -> None:
    """Let the disk have so many free bytes, or as many as anybody needs."""
    size = _LARGE if free is None else max(PAGE, used(folder) + free // PAGE * PAGE)
    _call("mount", "-o", f"remount,size={size}", str(folder))


def used(folder: Path) -> int:
    """Bytes of the disk that are taken."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
