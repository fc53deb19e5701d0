"""How often a checkpoint is written."""

import math
import os
import time

from hermes_nnunet.errors import TrainingEndedError

VARIABLE = "HERMES_SAVE_MINUTES"
DEFAULT_MINUTES = 10.0


class SaveInterval:
    """A clock that says when the latest checkpoint is too old.

    Raises:
        TrainingEndedError: the environment variable HERMES_SAVE_MINUTES is not a number above 0.
    """

    def __init__(self) -> None:
        text = os.environ.get(VARIABLE, "").strip()
        try:
            minutes = float(text) if text else DEFAULT_MINUTES
        except ValueError:
            minutes = math.nan
        if not minutes > 0:
            raise TrainingEndedError(
                f"{VARIABLE}={text}: give the minutes between two checkpoints as a number above 0, or leave it out for "
                f"{DEFAULT_MINUTES:g}"
            )
        self._seconds = 60 * minutes
        self.restart()

    def restart(self) -> None:
        """A checkpoint was written now."""
        self._start = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether a checkpoint is due."""
        return time.monotonic() - self._start >= self._seconds
