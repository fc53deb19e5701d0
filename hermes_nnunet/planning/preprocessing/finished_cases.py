"""What has made the preprocessed files of a case, so that a second run does only what is missing."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import OURS, Text, Whole, must_be, versioned

FORMAT_VERSION = 1
# Beside the folders that nnU-Net knows, in which there is nothing but its own files.
_FOLDER = ".hermes_preprocessed"

# Size in bytes and time of last change (ns) of a file.
_Stamp = Annotated[list[Whole], must_be("[bytes, time of last change]")]


@dataclass(frozen=True)
class _File:
    made_from: Text
    files: dict[Text, _Stamp]

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class FinishedCases:
    """Of one configuration of a collection.

    Attributes:
        dataset: the collection's folder in nnUNet_preprocessed.
        identifier: name of the configuration's folder in it.
    """

    dataset: Path
    identifier: str

    def check_folder(self) -> None:
        """See that the records lie where they are asked for.

        Raises:
            HermesError: their folder is a link.
        """
        own = self.dataset / _FOLDER
        for folder in (own, own / self.identifier):
            if folder.is_symlink():
                raise HermesError(f"{folder} is a link, but Hermes alone writes there: remove the link")

    def holds(self, case: str, made_from: str) -> bool:
        """Whether the files of a case are there as they were written, and made from this."""
        try:
            content = read_json(self._path(case), "")
            told = versioned(_File, content, FORMAT_VERSION, str(self._path(case)), "")
        except HermesError:
            return False
        if told.made_from != made_from:
            return False
        return all(stamp_of(self.dataset / name) == stamp for name, stamp in told.files.items())

    def add(self, case: str, made_from: str, files: list[str], temporary: Path) -> None:
        """Say that a case is finished.

        Args:
            files: that it consists of, below the collection's folder.
            temporary: a folder on the same disk.
        """
        stamps = {name: stamp_of(self.dataset / name) for name in files}
        content = {"format_version": FORMAT_VERSION, "made_from": made_from, "files": stamps}
        written = temporary / f"{case}.json"
        written.write_text(json.dumps(content))
        self._path(case).parent.mkdir(parents=True, exist_ok=True)
        os.replace(written, self._path(case))

    def _path(self, case: str) -> Path:
        return self.dataset / _FOLDER / self.identifier / f"{case}.json"


def stamp_of(path: Path) -> list[int] | None:
    """Size in bytes and time of last change (ns) of a file; None where it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
