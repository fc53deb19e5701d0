"""Which files a folder holds, through links as well: what is not found here is left out without a word."""

import os
from collections.abc import Iterator
from pathlib import Path

from hermes_nnunet.errors import HermesError


def files_in(folder: Path) -> list[Path]:
    """Files in a folder but hidden ones, and links to what is not there, which fail when they are read."""
    return sorted(path for path in folder.iterdir() if _is_file(path))


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder but hidden ones, linked ones too."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name))


def files_under(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The same of a folder and all folders under it but hidden ones, linked ones too, in no order.

    A link to a folder that is looked through anyway shows nothing new, or a circle, and is not followed.

    Args:
        above: folders, without links in their names, whose own links have led here.

    Raises:
        HermesError: a folder cannot be read.
    """
    roots = (*above, folder.resolve())
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (path for name in files if _is_file(path := Path(place, name)))
        for path in (Path(place, name) for name in folders):
            # os.walk enters all others itself.
            if path.is_symlink() and not any(_is_visible_in(root, path.resolve()) for root in roots):
                yield from files_under(path, roots)


def is_broken_link(path: str | os.PathLike[str]) -> bool:
    """Whether it is a link to what is not there, as of data that was not fetched or a disk that is not mounted."""
    return os.path.islink(path) and not os.path.exists(path)


def _refuse(error: OSError) -> None:
    raise HermesError(
        f"{error.filename} cannot be looked through ({error.strerror}): mend that, or take the folder away from there"
    ) from None


def _is_visible_in(root: Path, folder: Path) -> bool:
    return folder.is_relative_to(root) and not any(map(_is_hidden, folder.relative_to(root).parts))


def _is_file(path: Path) -> bool:
    return not _is_hidden(path.name) and (path.is_file() or is_broken_link(path))


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
