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
# image is a T1 and FLAIR a T2 as well.
_WORDS = {
    "LGE-MRI": r"lge|late gad|delayed enh|psir",
    "cineMRI": r"cine|trufi|fiesta|ssfp",
    "ADC": r"\badc|apparent diff",
    "DWI": r"dwi|diff|\bb ?\d{3,4}\b",
    "SWI": r"\bswi|suscept",
    "MRA": r"\bmra|\btof\b|angio",
    "FLAIR": r"flair|dark fluid",
    "T1c": r"\bt1.*(\bgd\b|gad|post|contrast|\bkm\b)|(\bgd\b|gad|post|contrast|\bkm\b).*\bt1|\bt1c",
}
# Words for what a scan weights: two of them contradict each other.
_WEIGHTINGS = {"T1": r"\bt1|mprage|spgr|vibe", "T2": r"\bt2", "PD": r"\bpd(?![a-z])|proton dens"}


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
    return weightings[0] if len(weightings) == 1 else None
