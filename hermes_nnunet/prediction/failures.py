"""Cases that cannot be segmented: they are listed at the end, and the others are finished."""

import errno
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hermes_nnunet.core.shortages import is_of_memory, is_of_the_gpu, line_of
from hermes_nnunet.errors import HermesError

# A file that is not there any more, or whose content is broken.
_OF_A_FILE = (errno.ENOENT, None)
MEMORY_REMEDY = "end other programs, choose fewer tasks at a time, or take a machine with more"


class FailedCasesError(HermesError):
    """Cases of a prediction failed; all others are finished.

    Attributes:
        reasons: a line for each, by its name.
    """

    def __init__(self, reasons: Mapping[str, str], cases: int) -> None:
        lines = [f"{case}: {reason}" for case, reason in reasons.items()]
        if cases > 1:
            others = ", the others are finished" if cases > len(reasons) else ""
            lines = [f"{len(reasons)} of {cases} cases failed{others}:", *lines]
        super().__init__("\n  ".join(lines))
        self.reasons = dict(reasons)


class Failures:
    """What went wrong with single cases of a prediction.

    Attributes:
        reasons: a line for each case that failed.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._fault: Exception | None = None

    def __contains__(self, case: str) -> bool:
        return case in self.reasons

    @contextmanager
    def of(self, case: str) -> Iterator[None]:
        """Keep what goes wrong in this block for the end, where it is the case's.

        Raises:
            OSError, RuntimeError: a disk is full or fails, or a GPU: every case would fail alike.
        """
        try:
            yield
        except HermesError as error:
            self.reasons[case] = str(error)
        except Exception as error:
            if is_of_memory(error):
                self.reasons[case] = str(line_of(error, remedy=MEMORY_REMEDY))
            elif isinstance(error, OSError) and error.errno in _OF_A_FILE:
                self.reasons[case] = str(line_of(error))
            elif isinstance(error, OSError) or is_of_the_gpu(error):
                raise
            else:
                # A fault of ours, most likely; what it holds of the case would fill the memory.
                traceback.clear_frames(error.__traceback__)
                self._fault = self._fault or error
                said = " ".join(str(error).split())
                self.reasons[case] = f"{type(error).__name__}: {said} (please report it: --debug shows where)"

    @contextmanager
    def of_network(self, case: str) -> Iterator[None]:
        """As `of`, for what depends on the case by its size only: all but memory is raised."""
        try:
            yield
        except Exception as error:
            if not is_of_memory(error):
                raise
            self.reasons[case] = str(line_of(error, remedy=MEMORY_REMEDY))

    def raise_any(self, cases: int) -> None:
        """Raise what has gone wrong.

        Args:
            cases: that were to be predicted.

        Raises:
            FailedCasesError: for some.
        """
        if self.reasons:
            raise FailedCasesError(dict(sorted(self.reasons.items())), cases) from self._fault
