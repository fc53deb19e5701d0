"""What a killed process leaves beside the files that it was writing, and how the next one tells it from its own.

A temporary name holds the machine and the process that made it. Once that process is gone, nobody needs what has it.
"""

import contextlib
import os
import platform
import re
import secrets
import shutil
import time
from functools import cache
from pathlib import Path

PREFIX = ".writing-"
# A process on another machine cannot be asked; nothing is written for so long.
_OLD_SECONDS = 7 * 24 * 3600
_NAME = re.compile(re.escape(PREFIX) + r"(?P<machine>.*)-(?P<process>\d+)-[0-9a-f]{8}")


def temporary_name() -> str:
    """A name that nothing else has."""
    return f"{PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"


def place_of(path: str | os.PathLike[str]) -> Path:
    """Where a file of a temporary folder gets its place: beside that folder; any other file is where it is."""
    return Path(*(part for part in Path(path).parts if not part.startswith(PREFIX)))


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder; a process looks once into each folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and _is_left(entry):
                _remove(entry)


def _is_left(entry: os.DirEntry[str]) -> bool:
    if not entry.is_dir(follow_symlinks=False):
        return True  # of a release that wrote files without a folder of their own
    match = _NAME.fullmatch(entry.name)
    # Windows has no question without an effect.
    if match is None or match["machine"] != _machine() or os.name == "nt":
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_SECONDS
    return not _is_running(int(match["process"]))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        os.unlink(entry.path)


@cache
def _machine() -> str:
    """Where numbers of processes have one meaning: a machine, or a container on it."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{re.sub(r'[^A-Za-z0-9.]', '', platform.node())[:40]}-{namespace}"
