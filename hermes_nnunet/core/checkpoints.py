"""Reading checkpoints that nnU-Net wrote, without running code that a file from elsewhere could hold."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hermes_nnunet.core.checkpoint_names import FINAL, NAMES
from hermes_nnunet.errors import HermesError

# The kinds of numpy objects that nnU-Net's logging and our state of the random generators leave in a checkpoint.
# Functions that make a number and an array again are called otherwise in files that NumPy 1 or NumPy 2 wrote.
_NUMPY_FUNCTIONS = (np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0])
_NUMPY_OBJECTS = (
    *((make, f"numpy.{core}.multiarray.{make.__name__}") for make in _NUMPY_FUNCTIONS for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("f2", "f4", "f8", "i4", "i8", "u4", "u8", "bool")),
)

# By these variables torch.load takes weights_only of no caller, or of every caller.
_ALWAYS, _NEVER = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def best_checkpoint(model: Path) -> str:
    """Name of the checkpoints to read in a model's folder: the final ones if a fold is finished."""
    return next((name for name in NAMES if any(model.glob(f"fold_*/{name}"))), FINAL)


@contextmanager
def loading_without_code() -> Iterator[None]:
    """Within this block every torch.load refuses what is more than tensors, numbers and arrays, whoever calls it.

    For nnU-Net's own loading, which asks for the full pickle loader.
    """
    before = {name: os.environ.pop(name, None) for name in (_ALWAYS, _NEVER)}
    os.environ[_ALWAYS] = "1"
    try:
        with torch.serialization.safe_globals(list(_NUMPY_OBJECTS)):
            yield
    finally:
        del os.environ[_ALWAYS]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def load_without_code(path: str | os.PathLike[str]) -> Any:
    """Content of a file of torch.save that holds tensors, numbers and arrays only; tensors are read when used.

    Raises:
        pickle.UnpicklingError: the file holds more than that.
        RuntimeError, EOFError, OSError, ValueError: it is missing, damaged, or no such file.
    """
    with torch.serialization.safe_globals(list(_NUMPY_OBJECTS)):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint file, on the CPU; tensors are read when they are used.

    Raises:
        HermesError: the file is missing, damaged, or holds more than tensors and numbers.
    """
    try:
        content = load_without_code(path)
    except FileNotFoundError:
        raise HermesError(f"{path} does not exist: train this fold first") from None
    except pickle.UnpicklingError as error:
        # The line that names what was found, without torch's advice to allow it.
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Check the doc")]
        reason = lines[-1].strip().split(". ")[0] if lines else "it is no file of torch.save"
        raise HermesError(f"{path} holds more than a checkpoint of nnU-Net, so it is not read ({reason})") from None
    except MemoryError:
        raise
    except Exception as error:  # of damaged files torch's unpickler raises KeyError, TypeError and others, too
        reason = (str(error).splitlines() or [""])[0]
        said = reason if isinstance(error, RuntimeError | EOFError | OSError | ValueError) else repr(error)
        raise HermesError(f"{path} is damaged or not complete ({said}): copy it again") from None
    if not isinstance(content, dict):
        raise HermesError(
            f"{path} is no checkpoint of a training: it holds {type(content).__name__}, not a table: give "
            "checkpoint_final.pth of a model"
        )
    return content
