"""A part of many cases, for jobs that share them without talking to each other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hermes_nnunet.errors import UsageError
from hermes_nnunet.file_names import quoted

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Every `count`-th item, beginning with that of this `number`, from 1 on."""

    number: int
    count: int

    @classmethod
    def from_word(cls, word: str) -> "Part":
        """The part that 3/8 says.

        Raises:
            UsageError: it says none.
        """
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", word)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(
                f"--part {quoted(word)} is no part: give its number and how many there are, from 1/8 to 8/8"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """For names of files: 3-of-8."""
        return f"{self.number}-of-{self.count}"

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Its items of all, in their order."""
        return list(items[self.number - 1 :: self.count])
