"""Reading single DICOM files, those without a preamble too, and telling them from files of other kinds."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_nnunet.core.found_files import is_broken_link
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from pydicom import Dataset

# What every DICOM object has; one of them is enough, since anonymisation takes some away.
_SIGNS = ("SOPClassUID", "SOPInstanceUID", "Modality")
# A DICOMDIR has none of them.
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_LOOKED_AT_BYTES = 4096
_PREAMBLE_BYTES, _MARK = 128, b"DICM"
# Of the first element of a file without a preamble: 0002 of its own header, 0008 of the object; elements are below 256.
_FIRST_GROUPS = (b"\2", b"\x08")


def read_dicom(path: Path, *, pixels: bool = False, tags: Sequence[str] | None = None) -> "Dataset | None":
    """A DICOM object, or None where the file is none.

    Args:
        pixels: read what comes after the header, too.
        tags: read these only.

    Raises:
        HermesError: the file is damaged.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    wanted = None if tags is None else [*tags, *_SIGNS]
    try:
        dataset = dcmread(path, stop_before_pixels=not pixels, specific_tags=wanted)
    except InvalidDicomError:
        return _without_preamble(path, pixels, wanted)
    except Exception as error:  # pydicom raises many kinds for damaged files
        raise _damaged(path, error) from None
    if not _is_object(dataset) and dataset.file_meta.get("MediaStorageSOPClassUID") != _DIRECTORY_CLASS:
        raise HermesError(f"{path} is damaged (it ends after its first lines): copy it again, or remove it")
    return dataset


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Name the file whose values this block asks for: pydicom decodes them only then, and raises many kinds of errors.

    Raises:
        HermesError: the file is damaged.
    """
    try:
        yield
    except (HermesError, OSError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> HermesError:
    reason = " ".join(str(error).split())
    return HermesError(f"{path} is damaged ({type(error).__name__}: {reason}): copy it again, or remove it")


def _without_preamble(path: Path, pixels: bool, wanted: list[str] | None) -> "Dataset | None":
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what other files would be as DICOM
            # Some archives cut off the preamble, without which DICOM looks like any file.
            dataset = dcmread(path, stop_before_pixels=not pixels, specific_tags=wanted, force=True)
    except Exception:  # what pydicom makes of any bytes at all
        return None
    return dataset if _is_object(dataset) else None


def _is_object(dataset: "Dataset") -> bool:
    return any(dataset.get(sign) for sign in _SIGNS)


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is likely a DICOM object, by its name or its first bytes, for which pydicom need not be there."""
    if _ending(path) in _DICOM_ENDINGS:
        return True
    if is_broken_link(path):
        return False
    with open(path, "rb") as file:
        start = file.read(_PREAMBLE_BYTES + len(_MARK))
    return start.endswith(_MARK) or (start[:1] in _FIRST_GROUPS and start[1:2] == start[3:4] == b"\0")


def could_be_dicom(path: Path, others: Sequence[Path]) -> bool:
    """Whether a file that cannot be read is likely a damaged slice, by its name and those of slices beside it.

    So is every link without an ending to what is not there: that may have been a slice, or a folder of them.
    """
    endings = {_ending(other) for other in others}
    if is_broken_link(path):
        return _ending(path) in (*_DICOM_ENDINGS, *endings, "")
    return _ending(path) in (*_DICOM_ENDINGS, *endings) and not _is_text(path)


def _ending(path: Path) -> str:
    """Of the name, in lower case; none where it is a number, as in names made of uids."""
    ending = path.suffix.lower()
    return "" if ending[1:].isdecimal() else ending


def _is_text(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(_LOOKED_AT_BYTES)
    try:
        # A character may be cut in two at the end.
        text = (
            start.decode("utf-8", "strict") if len(start) < _LOOKED_AT_BYTES else start[:-3].decode("utf-8", "ignore")
        )
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text
