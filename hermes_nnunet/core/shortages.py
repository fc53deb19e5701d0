"""What the machine lacks or refuses, in one line: the file and its folder, how much, and what to do.

Needs neither torch nor numpy, whose errors it knows by what they say.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hermes_nnunet.core.found_files import is_broken_link
from hermes_nnunet.core.leftovers import place_of
from hermes_nnunet.errors import CommandEndedError, HermesError
from hermes_nnunet.file_names import escaped

_MEMORY_REMEDY = "end other programs, or take a machine with more"
# Of commands that work on several cases at a time.
FEWER_PROCESSES = "run it again with fewer --processes; finished cases are kept"

# Not the fault of the file at which they come up.
_OF_ALL_FILES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# numpy says how much in binary units, torch in bytes on the CPU.
_AMOUNT = re.compile(r"(?:[Uu]nable to|tried to|Tried to) allocate (?P<amount>[\d.]+ ?\w+)")
_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|bad_alloc|Cannot allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
)
_OF_THE_GPU = re.compile(r"(CUDA|cuDNN|HIP|MPS)( driver)? error", re.IGNORECASE)
_OF_A_PROGRAM = "device-side assert"
_OF_A_WRITER = re.compile(
    r"PytorchStreamWriter|inline_container\.cc.*unexpected pos|file write failed|iostream error"
    r"|Error while creating the NDArray",
    re.DOTALL,
)


def line_of(error: BaseException, *, place: Path | str | None = None, remedy: str = _MEMORY_REMEDY) -> str | None:
    """What an error of memory, disk or GPU says to a person; None where it is another.

    Args:
        place: the file or folder that was worked on, for errors that do not name any.
        remedy: what to do where memory ran out.
    """
    if is_of_memory(error):
        whose = "the memory of the GPU" if _is_of_gpu_memory(error) else "memory"
        amount = _amount(error)
        return f"{whose} ran out{f' ({amount} more were asked for)' if amount else ''}: {remedy}"
    if isinstance(error, OSError):
        return _of_file_system(error, place)
    if is_of_a_writer(error):
        return _of_file_system(write_error(place or "a file", str(error)), place)
    if is_of_the_gpu(error):
        reason = str(error).strip().splitlines()[0]
        return f"the GPU failed ({reason}): see what nvidia-smi and the system's log say of it, and begin again"
    return None


@contextmanager
def memory_for(name: Path | str, *, remedy: str = _MEMORY_REMEDY) -> Iterator[None]:
    """Name what this block works on where memory is too small for it.

    Raises:
        HermesError: it is.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not is_of_memory(error):
            raise
        raise HermesError(f"{name}: {line_of(error, remedy=remedy)}") from None


@contextmanager
def ending_in_one_line(
    *,
    place: Path | str | None = None,
    remedy: str = _MEMORY_REMEDY,
    end: type[CommandEndedError] = CommandEndedError,
) -> Iterator[None]:
    """For what nnU-Net's commands call, which catch nothing: what a person can mend ends them with its line.

    Args:
        place: see `line_of`.
        remedy: see `line_of`.
        end: what is raised.

    Raises:
        CommandEndedError: in the place of a HermesError, or an error of memory, disk or GPU.
    """
    try:
        yield
    except CommandEndedError:
        raise
    except Exception as error:
        line = str(error) if isinstance(error, HermesError) else line_of(error, place=place, remedy=remedy)
        if line is None:
            raise
        raise end(escaped(line)) from None


def broken_link_line(path: Path | str) -> str:
    """What a link to what is not there says to a person."""
    return f"{path} is a link to {os.readlink(path)}, which is not there: bring that back, or remove the link"


def is_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, of this machine or its GPU, for what was asked for."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_is_of_gpu_memory(error) or _OF_MEMORY.search(str(error)))


def is_of_the_gpu(error: BaseException) -> bool:
    """Whether a GPU failed at something else than its memory: it does nothing more for this process then."""
    return (
        isinstance(error, RuntimeError)
        and not is_of_memory(error)
        and _OF_A_PROGRAM not in str(error)
        and bool(_OF_THE_GPU.search(str(error)))
    )


def is_of_all_files(error: BaseException) -> bool:
    """Whether other files would fail alike, so that the file at hand is not the cause."""
    return isinstance(error, OSError) and error.errno in _OF_ALL_FILES


def is_of_a_writer(error: BaseException) -> bool:
    """Whether torch.save or blosc2 could not write its file; they do not say why."""
    return isinstance(error, RuntimeError) and bool(_OF_A_WRITER.search(str(error)))


def write_error(path: Path | str, reason: str) -> OSError:
    """The error of a file system that a library has made another one of, by what it said."""
    codes = (errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EDQUOT)
    code = next((code for code in codes if os.strerror(code) in reason), None)
    if code is None:
        code = errno.ENOSPC if _free(Path(path).parent) == 0 else errno.EIO
    return OSError(code, os.strerror(code), str(path))


def _of_file_system(error: OSError, place: Path | str | None) -> str:
    if error.errno is None or not error.strerror:
        return str(error)
    # Of two the second is written: shutil copies the first to it, and os.replace moves it there.
    name = error.filename2 or error.filename or place
    if isinstance(name, int):  # a file descriptor
        name = place
    path = f"the output, or a file in {tempfile.gettempdir()}," if name is None else str(place_of(os.fsdecode(name)))
    folder = Path(tempfile.gettempdir()) if name is None else Path(path).parent
    if name is not None and os.path.isdir(path):
        folder = Path(path)
    if is_broken_link(path):
        return broken_link_line(path)
    if error.errno == errno.ENOSPC:
        return (
            f"{path} cannot be written, since its disk is full ({_free(folder)} MB are free in {folder}): make room, "
            "or choose another folder"
        )
    if error.errno == errno.EDQUOT:
        return f"{path} cannot be written, since your quota in {folder} is used up: make room, or choose another folder"
    if error.errno == errno.EFBIG:
        return (
            f"{path} cannot be written, since files in {folder} may not be so large: raise the limit (ulimit -f), or "
            "choose another folder"
        )
    if error.errno == errno.EROFS:
        return f"{path} cannot be written, since {folder} is read-only: choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: {error.strerror}: ask for the rights in {folder}, or choose another folder"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{path} cannot be opened ({error.strerror}): raise the limit (ulimit -n 4096)"
    if error.errno in (errno.EIO, errno.ESTALE):
        return f"{path}: {error.strerror}: the disk or share that holds {folder} fails: look after it first"
    return f"{path}: {error.strerror}"


def _free(folder: Path) -> int | None:
    """Megabytes that are free on the disk of a folder; None where nobody knows."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free // 10**6
    except OSError:
        return None


def _is_of_gpu_memory(error: BaseException) -> bool:
    return type(error).__name__ in ("OutOfMemoryError", "CudaOutOfMemoryError") or bool(
        re.search(r"CUDA.*out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED", str(error))
    )


def _amount(error: BaseException) -> str | None:
    """How much was asked for, in GiB where it is told in bytes."""
    match = _AMOUNT.search(str(error))
    if match is None:
        return None
    number, _, unit = match["amount"].partition(" ")
    return f"{int(number) / 2**30:.1f} GiB" if unit == "bytes" and number.isdigit() else match["amount"]
