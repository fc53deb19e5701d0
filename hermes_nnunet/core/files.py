"""Files and folders that are either complete or not there."""

import codecs
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from hermes_nnunet.core.leftovers import place_of, remove_leftovers, temporary_name
from hermes_nnunet.core.shortages import is_of_a_writer, write_error
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted

HALF_A_CHARACTER = "an escape sequence is half of a character"
TOO_DEEP = "it is nested too deeply"
MOST_LEVELS = 50
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Node = TypeVar("Node")


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    It has the name of `path`, because readers and writers choose the format by the ending, and lies in a hidden folder
    of its own, so that nobody who lists the files of a folder takes it for one. A block that writes nothing leaves
    `path` as it was.

    Raises:
        OSError: it cannot be written; `path` is named, not the temporary file.
    """
    path = Path(path)
    with naming(path), temporary_folder_in(path.parent) as folder:
        temporary = folder / path.name
        yield temporary
        if temporary.exists():
            bring_to_disk(temporary)
            os.replace(temporary, path)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, so that a kill leaves the whole copy or none."""
    with written_beside(target) as temporary:
        shutil.copyfile(source, temporary)


def bring_to_disk(file: Path) -> None:
    """Wait until a file is on the disk: some file systems find only then that they have no room for it."""
    with open(file, "rb") as written:
        os.fsync(written.fileno())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the file system name `path`, which this block writes, where they name nothing or a temporary file.

    Raises:
        OSError: also where torch.save or blosc2 makes another error of it.
    """
    try:
        yield
    except OSError as error:
        place = _place(error.filename2 or error.filename, path)
        if error.errno is not None and place is not None:
            error.filename, error.filename2 = str(place), None
        raise
    except RuntimeError as error:
        if is_of_a_writer(error):
            raise write_error(path, str(error)) from error
        raise


def _place(name: object, path: Path) -> Path | None:
    """Where a temporary file of this name would have got its place, at `path` or below it; None of any other file."""
    if not isinstance(name, str | os.PathLike):
        return path
    place = place_of(name)
    if place == Path(name):
        return None
    return place if place.is_relative_to(path) else path


@contextmanager
def folder_written_beside(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; rename it to `path` when the block ends without an error.

    `path` must not exist, or be a tree without files, which is what a killed process of an older release leaves.
    """
    with naming(path), temporary_folder_in(path.parent) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        for folder_without_files, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder_without_files)
        os.rename(temporary, path)


@contextmanager
def temporary_folder_in(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder, which goes when the block ends; what killed processes left in `parent` goes before."""
    remove_leftovers(parent)
    folder = parent / temporary_name()
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def holds_files(folder: Path) -> bool:
    """Whether there is any file, or link, in a folder or below it; False where there is no folder."""
    return folder.is_symlink() or any(
        files or any(os.path.islink(os.path.join(place, name)) for name in folders)
        for place, folders, files in os.walk(folder)
    )


def write_json(content: Any, path: str | os.PathLike[str]) -> None:
    """Write `content` as indented JSON, atomically."""
    with written_beside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4) + "\n")


def read_json(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        HermesError: the file is missing or is not JSON; the message ends with `remedy`.
    """
    return parse_json(read_text(path, remedy), str(path), remedy)


def parse_json(text: str, where: str, remedy: str) -> Any:
    """The content of a text in JSON that `where` names in messages.

    Raises:
        HermesError: it is not JSON; the message ends with `remedy`.
    """
    try:
        content = json.loads(text, object_pairs_hook=_with_every_key_once)
        check_extent(content, _children)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except UnicodeEncodeError:
        reason = HALF_A_CHARACTER
    except json.JSONDecodeError as error:
        reason = str(error)
    except RecursionError:
        reason = TOO_DEEP
    except ValueError as error:
        # Python's own message names a setting of Python.
        reason = "a number of thousands of digits" if "digits" in str(error) else str(error)
    raise HermesError(f"{where} is not valid JSON ({reason}): {remedy}")


def read_text(path: str | os.PathLike[str], remedy: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        HermesError: the file is missing, empty or no such text.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise HermesError(f"{path} does not exist: {remedy}") from None
    except IsADirectoryError:
        raise HermesError(f"{path} is a folder, not a file: {remedy}") from None
    except (OSError, ValueError) as error:
        raise HermesError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}): {remedy}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise HermesError(f"{path} is not UTF-8 but UTF-16 or UTF-32: save it as UTF-8 ({remedy})")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HermesError(f"{path} is no text in UTF-8 (byte {error.start} is none of it): {remedy}") from None
    if not text.strip():
        raise HermesError(f"{path} is empty: {remedy}")
    return text


def check_extent(root: Node, children: Callable[[Node], Iterable[Node]], most: int = sys.maxsize - 1) -> None:
    """See that a tree is as small as what it is read from; what several branches share counts in each of them.

    Raises:
        ValueError: it has more levels than any file needs, or more than `most` nodes.
    """
    level, count = [root], 0
    for _ in range(MOST_LEVELS):
        level = [*islice((child for node in level for child in children(node)), most - count + 1)]
        count += len(level)
        if count > most:
            raise ValueError("it unfolds to too many entries")
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _children(content: Any) -> Iterable[Any]:
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


def _with_every_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {quoted(twice)} stands twice")
    return content


def holds_json(path: Path, content: Any) -> bool:
    """Whether a JSON file is there and has this content."""
    try:
        present = read_json(path, "")
    except HermesError:
        return False
    # As JSON stores it, for tuples become lists.
    return bool(present == json.loads(json.dumps(content)))


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
