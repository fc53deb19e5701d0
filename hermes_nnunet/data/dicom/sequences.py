"""Which of the known modalities a DICOM series is of, by its header."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.data.dicom.files import read_dicom
from hermes_nnunet.data.dicom.folder import ImageSeries
from hermes_nnunet.modalities import KNOWN_MODALITIES, MR_MODALITIES

_TAGS = ("SeriesDescription", "ProtocolName", "SequenceName", "ScanningSequence")
MR = "MR"
_ANY_MR = "MRI"
# Of MR, in words of people and vendors; a later one counts only where no earlier one is there, since a late enhancement
# image is a T1 and FLAIR a T2 as well. Balanced sequences (TrueFISP, FIESTA) are no cine by themselves.
_WORDS = {
    "LGE-MRI": r"\blge|late gad|delayed enh|psir",
    "cineMRI": r"\bcine",
    "ADC": r"\badc|apparent diff",
    "DWI": r"dwi|\bdiff|\bb ?\d{3,4}\b",
    "SWI": r"\bswi|suscept",
    "MRA": r"\bmra|\btof\b|angio",
    # Some vendors have a FLAIR with the weighting of a T1, and say so.
    "FLAIR": r"^(?!.*\bt1).*(flair|dark fluid)",
}
# Words for what a scan weights: two of them contradict each other.
_WEIGHTINGS = {"T1": r"\bt1|mprage|spgr|vibe", "T2": r"\bt2", "PD": r"\bpdw?(?![a-z])|proton dens"}
# A map has the times themselves, not images that they weight.
_MAP = r"\bmap(s|ping)?\b|\bmolli\b"
# Of a T1: with a contrast agent, and without.
_WITH_AGENT = r"\bt1(c|ce|gd|km)\b|\bt1w? c\b|\bpost(contrast|gad|gd|km)?\b|\b(gd|gad\w*|contrast|kontrast|km|ce)\b"
_WITHOUT_AGENT = r"\bpre(contrast|gad|gd|km)?\b|\b(without|wo|w o|no|non|ohne|native?|unenhanced|non?contrast)\b"
_AFTER = r"\bpost(contrast|gad|gd|km)?\b"


class ByHeader(NamedTuple):
    """What a header says.

    Attributes:
        words: for people: the modality, and the sequence where it is told.
        possible: the known modalities that the series can be of; none where it is of another.
        told: whether the header decides.
    """

    words: str
    possible: tuple[str, ...]
    told: bool


def by_header(series: ImageSeries, known: Collection[str]) -> ByHeader:
    """What the header of a series says of its modality: Modality, and of MR the description, protocol and sequence.

    Args:
        known: modalities to choose from.
    """
    if series.modality != MR:
        return ByHeader(series.modality, tuple(name for name in known if name == series.modality), True)
    own_words = [name for name in known if name not in KNOWN_MODALITIES]
    told = modality_of_words(sequence_words(series.paths[0]), own_words)
    if told is None:
        of_mr = (*MR_MODALITIES, *own_words, UNKNOWN_MODALITY)
        possible = tuple(name for name in known if name in of_mr)
        return ByHeader(MR, possible, not possible)
    named = tuple(name for name in known if name == told) or tuple(name for name in known if name == _ANY_MR)
    return ByHeader(f"{MR}, {told}", named, True)


def sequence_words(path: Path) -> str:
    """What the header of a slice says of the sequence, in lower case, words separated by spaces."""
    header = read_dicom(path, tags=_TAGS)
    said = [] if header is None else [str(header.get(tag) or "") for tag in _TAGS]
    return " ".join(re.findall(r"[a-z0-9]+", " ".join(said).lower()))


def modality_of_words(words: str, own_words: Collection[str] = ()) -> str | None:
    """The MR modality that a sequence's description names; None where it names none, or two that exclude each other.

    Args:
        own_words: names of modalities beside the usual ones.
    """
    for name in own_words:
        if re.search(rf"\b{' '.join(re.findall('[a-z0-9]+', name.lower()))}\b", words):
            return name
    named = next((name for name, pattern in _WORDS.items() if re.search(pattern, words)), None)
    if named is not None:
        return named
    weightings = [name for name, pattern in _WEIGHTINGS.items() if re.search(pattern, words)]
    if len(weightings) != 1 or re.search(_MAP, words):
        return None
    return _by_agent(words) if weightings == ["T1"] else weightings[0]


def _by_agent(words: str) -> str | None:
    """T1 or, with a contrast agent, T1c; None where the words say both."""
    if re.search(_WITHOUT_AGENT, words):
        return None if re.search(_AFTER, words) else "T1"
    return "T1c" if re.search(_WITH_AGENT, words) else "T1"
