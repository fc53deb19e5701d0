"""Files that are either complete or not there."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hermes_nnunet.errors import HermesError

TEMPORARY_PREFIX = ".writing-"
# Bytes in a file's name, of nearly all file systems.
LONGEST_NAME = 255


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    The temporary name keeps the ending of `path`, because readers and writers choose the format by it. A block that
    writes nothing leaves `path` as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX, suffix="".join(path.suffixes[-2:]))
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()
    try:
        yield temporary
        if temporary.exists():
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(content: Any, path: str | os.PathLike[str]) -> None:
    """Write `content` as indented JSON, atomically."""
    with written_beside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4) + "\n")


def read_json(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        HermesError: the file is missing or is not JSON; the message ends with `remedy`.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise HermesError(f"{path} does not exist: {remedy}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise HermesError(f"{path} is not valid JSON ({error}): {remedy}") from None


def check_output_file(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before the work for it is done.

    Raises:
        HermesError: its folder is missing or cannot be written, or it is a folder itself.
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise HermesError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise HermesError(f"{path.parent} does not exist: make this folder, or choose another output")
    if not os.access(path.parent, os.W_OK):
        raise HermesError(f"{path.parent} cannot be written: choose another output")
