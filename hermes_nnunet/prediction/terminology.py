"""SNOMED CT codes of structures, where the DICOM standard has one for the words of a task's name."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

# "Anatomical Structure Segmentation Property Types" of DICOM PS3.16.
_CONTEXT_GROUP = "cid7192"
_SIDES = {"left": "Left", "right": "Right", "l": "Left", "r": "Right", "lt": "Left", "rt": "Right"}
# Words of labels -> words of the standard.
_ALIASES = {"ivc": "inferiorvenacava", "oesophagus": "esophagus", "postcava": "inferiorvenacava"}


@dataclass(frozen=True)
class Structure:
    """What a task shows, in coded words.

    Attributes:
        code: of pydicom, with `value`, `scheme_designator` and `meaning`.
        side: "Left", "Right", or None where the name says none or the code says it.
    """

    code: Any
    side: str | None


def structure_of(task: str) -> Structure | None:
    """The structure that a task's name says in the words of the standard; None where it says no known one.

    Only whole names count, but for a side and a plural: "left_kidney" is a kidney, "kidney_tumour" is none.
    """
    words = re.findall(r"[a-z0-9]+", task.rpartition("/")[2].lower())
    code = _code_of(words)
    if code is not None:
        return Structure(code, None)
    sides = {_SIDES[word] for word in words if word in _SIDES}
    code = _code_of([word for word in words if word not in _SIDES])
    return Structure(code, sides.pop()) if code is not None and len(sides) == 1 else None


def _code_of(words: list[str]) -> Any | None:
    phrase = "".join(words)
    phrase = _ALIASES.get(phrase, phrase)
    known = _known()
    return next((known[name] for name in (phrase, phrase.removesuffix("s"), f"{phrase}gland") if name in known), None)


@cache
def _known() -> dict[str, Any]:
    """Codes by their words without spaces and in small letters."""
    from pydicom.sr.codedict import codes

    group = getattr(codes, _CONTEXT_GROUP)
    found = {keyword.lower(): getattr(group, keyword) for keyword in group.dir()}
    return {name: code for name, code in found.items() if code.scheme_designator == "SCT"}
