"""One training at a time in a fold's folder, and none that begins where another has left its weights."""

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hermes_nnunet.core.checkpoint_names import BEST
from hermes_nnunet.core.checkpoint_names import NAMES as CHECKPOINTS
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.files import copy_whole, read_json, write_json
from hermes_nnunet.errors import HermesError, TrainingEndedError
from hermes_nnunet.learning.training.learning_curves import FILE_NAME as LEARNING_CURVES

OVERWRITE_VARIABLE = "HERMES_OVERWRITE"
_LOCK = ".hermes_training.lock"
_HOLDER = ".hermes_training.json"


def may_overwrite() -> bool:
    """Whether the environment variable HERMES_OVERWRITE allows a new training in the place of another."""
    return os.environ.get(OVERWRITE_VARIABLE, "") not in ("", "0")


def check_beginning(fold: Path, *, asked_to_continue: bool) -> None:
    """Check that a training which begins anew overwrites nothing.

    Args:
        fold: its folder, fold_X.
        asked_to_continue: --c was given, and no checkpoint found.

    Raises:
        TrainingEndedError: there is a checkpoint, or --c found learning curves only; not where HERMES_OVERWRITE is set.
    """
    if may_overwrite():
        return
    anew = f"set {OVERWRITE_VARIABLE}=1 to begin anew in its place"
    found = next((name for name in CHECKPOINTS if (fold / name).is_file()), None)
    if found == CHECKPOINTS[0]:
        raise TrainingEndedError(f"{fold / found} is that of a finished training: validate it with --val, or {anew}")
    if found is not None:
        raise TrainingEndedError(f"{fold / found} is that of an unfinished training: continue it with --c, or {anew}")
    if asked_to_continue and (fold / LEARNING_CURVES).is_file():
        raise TrainingEndedError(
            f"{fold} has the {LEARNING_CURVES} of a training, but no checkpoint that --c could continue: bring "
            f"{CHECKPOINTS[1]} back, or {anew}"
        )


def remove_checkpoints(fold: Path) -> None:
    """Remove what --c would take for checkpoints of the training that begins now."""
    for name in CHECKPOINTS:
        (fold / name).unlink(missing_ok=True)


def keep_best(continued_from: Path, dice: float) -> None:
    """Let a continued training have its best checkpoint.

    nnU-Net writes the latest checkpoint before it compares the epoch's Dice with the best: a training that ends between
    the two lacks the best.

    Args:
        continued_from: the checkpoint of the epoch with the best Dice so far.
        dice: that Dice, a moving average.
    """
    best = continued_from.with_name(BEST)
    if not best.is_file() or read_checkpoint(best).get("_best_ema", 0) < dice:
        copy_whole(continued_from, best)


@contextmanager
def locked(fold: Path) -> Iterator[None]:
    """Keep other trainings and validations out of a fold while this process lives, or until the block ends.

    Raises:
        TrainingEndedError: another process is in it.
    """
    fold.mkdir(parents=True, exist_ok=True)
    lock = FileLock(fold / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingEndedError(
            f"{fold} is in use by another training or validation ({_holder(fold)}): wait for its end, or stop it"
        ) from None
    except (OSError, NotImplementedError):
        # Some network file systems know no locks.
        yield
        return
    try:
        with contextlib.suppress(OSError):
            write_json({"machine": platform.node(), "process": os.getpid()}, fold / _HOLDER)
        yield
    finally:
        with contextlib.suppress(OSError):
            (fold / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(fold: Path) -> str:
    try:
        holder = read_json(fold / _HOLDER, "")
        return f"process {holder['process']} on {holder['machine']}"
    except (HermesError, OSError, KeyError, TypeError):
        return "a process that does not say which"
