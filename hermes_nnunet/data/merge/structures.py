"""What two names of structures say about whether the structures can have a voxel in common."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FORMAT_VERSION = 1
ANATOMY_FILE = Path(__file__).parent / "anatomy.yaml"

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# "thrombus" and "pelvis" are no plurals.
_NO_PLURAL = re.compile(r".{0,3}|.*(?:ss|us|is)")

Words = frozenset[str]


class Overlap(Enum):
    """Why two structures may have voxels in common."""

    SAME = "the same structure"
    PART = "a whole and its part"
    FINDING = "a finding, which may lie anywhere"
    UNSPECIFIC = "a name that holds or crosses other structures, or tells none"


@dataclass(frozen=True)
class Structure:
    """A name taken apart.

    Attributes:
        words: what is left without sides, positions and words that say nothing; in the words of the tables if they know
            it.
        side: "left", "right" or None.
        known: words of the tables that the name is made of; none where they do not know it.
        is_finding: a tumour, a target volume, a device.
        is_unspecific: may have voxels in common with anything, by what the name says or does not say.
    """

    words: Words
    side: str | None
    known: frozenset[str]
    is_finding: bool
    is_unspecific: bool


class Anatomy:
    """The tables of anatomy.yaml; see there."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._abbreviations = {word: text.split() for word, text in tables["abbreviations"].items()}
        self._side_of = {word: side for side, words in tables["sides"].items() for word in words}
        self._silent = {*tables["positions"], *tables["fillers"]}
        self._findings = {self._words_of(text) for text in tables["findings"]}
        self._everything = set(tables["everything"])
        self._parts: Mapping[str, list[str]] = tables["parts"]
        self._tissues: Mapping[str, list[str]] = tables["tissues"]
        overlapping: Mapping[str, list[str]] = tables["overlapping"]
        self._overlapping = {frozenset((name, other)) for name, others in overlapping.items() for other in others}
        names = [*tables["known"], *self._everything]
        for table in (self._parts, overlapping, self._tissues):
            names += [name for whole, others in table.items() for name in (whole, *others)]
        self._name_of = {self._words_of(name): name for name in names}
        for name, others in tables["synonyms"].items():
            self._name_of |= {self._words_of(other): name for other in (name, *others)}

    @classmethod
    def read(cls) -> "Anatomy":
        """The tables that come with the package."""
        return cls(yaml.safe_load(ANATOMY_FILE.read_text()))

    @cache  # noqa: B019 (there is one Anatomy)
    def structure(self, name: str) -> Structure:
        """Take a name apart."""
        words, side = self._taken_apart(name)
        known = self._known(words)
        if len(known) == 1 and self._name_of.get(words) in known:
            words = self._words_of(next(iter(known)))
        return Structure(
            words=words,
            side=side,
            known=known,
            is_finding=any(finding <= words for finding in self._findings),
            is_unspecific=not words or bool(known & self._everything),
        )

    def overlap(self, a: Structure, b: Structure) -> Overlap | None:
        """Why two structures may have a voxel in common; None where they exclude each other. Symmetric."""
        if a.is_finding or b.is_finding:
            return Overlap.SAME if a.is_finding and b.is_finding else Overlap.FINDING
        if a.is_unspecific or b.is_unspecific:
            return Overlap.SAME if a.words == b.words else Overlap.UNSPECIFIC
        if a.side and b.side and a.side != b.side:
            return None
        if a.words == b.words or a.known & b.known:
            return Overlap.SAME
        if a.words < b.words or b.words < a.words:
            return Overlap.PART
        pairs = [(one, other) for one in a.known for other in b.known]
        return Overlap.PART if any(self._share(*pair) or self._share(*reversed(pair)) for pair in pairs) else None

    def _share(self, one: str, other: str) -> bool:
        """Whether names of the tables are a whole and its part, or the like, in this order."""
        if other in self.parts(one) or frozenset((one, other)) in self._overlapping:
            return True
        return any(
            one in tissues and other not in tissues and other in self.parts(whole)
            for whole, tissues in self._tissues.items()
        )

    @cache  # noqa: B019 (there is one Anatomy)
    def parts(self, whole: str) -> frozenset[str]:
        """All parts of a structure, and the parts of these."""
        own = self._parts.get(whole, [])
        return frozenset(own).union(*(self.parts(part) for part in own))

    def _known(self, words: Words) -> frozenset[str]:
        """The name that the tables have for the words, or else for the largest parts of them."""
        inside = [known for known in self._name_of if known <= words]
        return frozenset(self._name_of[known] for known in inside if not any(known < other for other in inside))

    def _taken_apart(self, name: str) -> tuple[Words, str | None]:
        spelled = [word.lower() for part in _CAMEL.split(name) for word in _WORD.findall(part)]
        words = [word for abbreviation in spelled for word in self._abbreviations.get(abbreviation, [abbreviation])]
        sides = {self._side_of[word] for word in words if word in self._side_of}
        left = (word for word in words if word not in self._side_of and not word.isdecimal())
        singular = (_singular(word) for word in left if word not in self._silent)
        return frozenset(word for word in singular if word not in self._silent), sides.pop() if len(
            sides
        ) == 1 else None

    def _words_of(self, name: str) -> Words:
        return self._taken_apart(name)[0]


def _singular(word: str) -> str:
    return word.removesuffix("s") if not _NO_PLURAL.fullmatch(word) else word


@cache
def _anatomy() -> Anatomy:
    return Anatomy.read()


def overlap_of_names(some: Iterable[str], others: Iterable[str]) -> Overlap | None:
    """Why structures of one or more names each may have a voxel in common; None where they exclude each other.

    Names disagree in favour of an overlap.
    """
    anatomy = _anatomy()
    theirs = [anatomy.structure(name) for name in others]
    found = {anatomy.overlap(anatomy.structure(name), their) for name in some for their in theirs}
    return next((reason for reason in Overlap if reason in found), None)


def is_known(name: str) -> bool:
    """Whether the tables say anything about a name."""
    structure = _anatomy().structure(name)
    return structure.is_finding or structure.is_unspecific or bool(structure.known)
