"""What a broken image file raises, in one line."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from hermes_nnunet.errors import HermesError

UNREADABLE = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what reading a broken file raises into one line that names the file."""
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise HermesError(
            f"{path} cannot be read ({type(error).__name__}: {reason}): copy it again, or leave it out"
        ) from None
