"""What a broken image file raises, in one line."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from hermes_nnunet.core.found_files import is_broken_link
from hermes_nnunet.core.shortages import broken_link_line, is_of_all_files
from hermes_nnunet.errors import HermesError

UNREADABLE = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what reading a broken file raises into one line that names the file.

    Raises:
        HermesError: the file is broken, or not there, or may not be read.
        OSError: of what other files would fail at alike, such as too many open files; it names the file.
    """
    try:
        yield
    except UNREADABLE as error:
        if is_of_all_files(error) and isinstance(error, OSError):
            error.filename = error.filename or str(path)
            raise
        if is_broken_link(path):
            raise HermesError(broken_link_line(path)) from None
        reason = " ".join(str(error).split())
        raise HermesError(
            f"{path} cannot be read ({type(error).__name__}: {reason}): copy it again, or leave it out"
        ) from None
