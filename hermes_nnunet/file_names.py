"""Names that come from files and become parts of paths: a name is never a path, and can be seen."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hermes_nnunet.errors import HermesError

# Bytes in a file's name, of nearly all file systems.
LONGEST_FILE_NAME = 255
# Of what is not a file's name itself: nnU-Net and temporary files add to it.
LONGEST_NAME = 200
_SEPARATORS = "/\\"
_DATASET_NAME = re.compile(r"Dataset\d{3}_.+")


def check_file_name(name: object, what: str, longest: int = LONGEST_NAME) -> str:
    """The name, if it can be one file or folder and nothing else.

    Args:
        what: names it in the message, for example "case".
        longest: bytes that it may have.

    Raises:
        HermesError: it is empty or no text, too long, a path, hidden, or holds characters that cannot be seen.
    """
    problem = _problem(name, _SEPARATORS, longest)
    if problem is None and str(name).startswith("."):
        problem = "begins with a dot"
    if problem is not None:
        raise HermesError(
            f"{what} {quoted(name)} {problem}, so it cannot be part of a file's name: give it another name"
        )
    return str(name)


def check_case_name(name: object, what: str = "case") -> str:
    """As `check_file_name`; whether there is room for what its files' names add is checked where these are known."""
    return check_file_name(name, what, LONGEST_FILE_NAME)


def check_task_name(name: object, what: str = "task") -> str:
    """The name, if a mask's file can be named by it: as `check_file_name`, but with '/' between member and label.

    Raises:
        HermesError: it cannot.
    """
    problem = _problem(name, "\\", LONGEST_NAME)
    if problem is None and any(part in ("", ".", "..") for part in str(name).split("/")):
        problem = "is a path"
    if problem is not None:
        raise HermesError(f"{what} {quoted(name)} {problem}, so no file can be named by it: give it another name")
    return str(name)


def check_dataset_name(name: object, what: str) -> str:
    """The name, if it is one of nnU-Net's data sets, whose folders lie beside each other.

    Raises:
        HermesError: it is not.
    """
    check_file_name(name, what)
    if not _DATASET_NAME.fullmatch(str(name)):
        raise HermesError(f"{what} {quoted(name)} is no name of a data set: write it as Dataset303_CardiacCine")
    return str(name)


def check_file_ending(ending: object, what: str) -> str:
    """The ending, if it only tells a format.

    Raises:
        HermesError: it does not.
    """
    if not (isinstance(ending, str) and ending.startswith(".") and len(ending) > 1):
        raise HermesError(f"{what} {quoted(ending)} is no ending of a file's name: write it as .nii.gz")
    check_file_name(ending[1:], what)
    return ending


def escaped(text: str) -> str:
    """The text with every character that cannot be seen as an escape sequence; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def quoted(name: object) -> str:
    """A name within a message: in quotes, with escapes, and not longer than a line."""
    if not isinstance(name, str):
        return f"{name!r:.80}"
    seen = escaped(name).replace("\n", "\\n")
    return f"'{seen if len(seen) <= 80 else seen[:77] + '...'}'"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """ " (did you mean 'CT'?)" where a known word is near `word`, else nothing."""
    by_lower_case = {other.lower(): other for other in known}
    near = get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f" (did you mean '{by_lower_case[near[0]]}'?)" if near else ""


def _problem(name: object, separators: str, longest: int) -> str | None:
    if not isinstance(name, str):
        return "is no text"
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return "holds characters that cannot be seen"
    if len(name.encode()) > longest:
        return f"is longer than {longest} bytes"
    if name in (".", "..") or any(separator in name for separator in separators):
        return "is a path"
    return None
