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
def small_disk(folder: Path, size: int = _LARGE) -> Iterator[None]:
    """An empty disk of so many bytes over a folder."""
    _call("mount", "-t", "tmpfs", "-o", f"size={max(PAGE, size // PAGE * PAGE)}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _call("umount", str(folder))


def enlarge(folder: Path) -> None:
    """Let the disk be as large as anybody needs."""
    _call("mount", "-o", f"remount,size={_LARGE}", str(folder))


def used(folder: Path) -> int:
    """Bytes of the disk that are taken."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
