"""What the images of a case were when it was segmented: others under the same names want another segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.core.digests import digest_of_file, digest_of_json
from hermes_nnunet.schema import Text


@dataclass(frozen=True)
class ImageStamp:
    """The images of a case.

    Attributes:
        written: hash of the sizes of the files and of the times when they were written last.
        content: hash of what they hold.
    """

    written: Text
    content: Text

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "ImageStamp":
        """The stamp of files as they are now.

        Raises:
            OSError: one cannot be read.
        """
        return cls(_written(paths), _content(paths))

    def is_of(self, paths: Sequence[Path]) -> bool:
        """Whether files hold the same as then; they are only read where they were written since, or copied."""
        try:
            return _written(paths) == self.written or _content(paths) == self.content
        except OSError:
            return False


def _written(paths: Sequence[Path]) -> str:
    return digest_of_json([[status.st_size, status.st_mtime_ns] for status in map(Path.stat, paths)])


def _content(paths: Sequence[Path]) -> str:
    return digest_of_json([digest_of_file(path) for path in paths])
