"""What the text of an NRRD or MHA header says of where its voxels lie: ITK takes 1 mm and LPS for what it leaves out.

Formats: https://teem.sourceforge.net/nrrd/format.html and https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from hermes_nnunet.core.images.remarks import NO_SPACE
from hermes_nnunet.errors import HermesError

_AXES = 3
# Those that ITK turns into its own, the first of them.
_PATIENT_SPACES = {"left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las"}
_MILLIMETRES = {"mm", "millimeter", "millimeters", "millimetre", "millimetres", "?", ""}
_QUOTED = re.compile(r'"([^"]*)"')
# Of numbers: ITK takes 1 mm for an axis of "none" or (nan,nan,nan).
_VECTOR = re.compile(r"\((?![^()]*nan)[^()]*\)", re.IGNORECASE)
_META_FIELD = re.compile(r"\s*(\w+)\s*[=:]\s*(.*)")
_META_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
_META_SPACINGS = ("ElementSpacing", "ElementSize")
_META_LAST = "ElementDataFile"


def check_header(path: Path) -> tuple[str, ...]:
    """Remarks on the header of a file that ITK reads, and has read the header of.

    Raises:
        HermesError: it does not say the spacing, or says it in another unit than mm.
    """
    check = {".nrrd": _check_nrrd, ".mha": _check_meta}.get(path.suffix.lower())
    return () if check is None else check(path)


def _check_nrrd(path: Path) -> tuple[str, ...]:
    fields = dict(_nrrd_fields(path))
    directions = _VECTOR.findall(fields.get("space directions", ""))
    if max(len(directions), _lengths_in(fields.get("spacings", ""))) < _AXES:
        raise _no_spacing(path, "'space directions' or 'spacings'")
    for name in ("space units", "units"):
        _check_units(path, name, _QUOTED.findall(fields.get(name, "")))
    return () if directions and fields.get("space", "").lower() in _PATIENT_SPACES else (NO_SPACE,)


def _check_meta(path: Path) -> tuple[str, ...]:
    fields = dict(_meta_fields(path))
    if max(_lengths_in(fields.get(name, "")) for name in _META_SPACINGS) < _AXES:
        raise _no_spacing(path, "'ElementSpacing'")
    _check_units(path, "DistanceUnits", [fields.get("DistanceUnits", "")])
    return () if any(name in fields for name in _META_DIRECTIONS) else (NO_SPACE,)


def _nrrd_fields(path: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(path):
        if not line:
            return
        name, _, value = line.partition(": ")
        yield name.lower(), value.strip()


def _meta_fields(path: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(path):
        match = _META_FIELD.fullmatch(line)
        if match:
            yield match[1], match[2]
            if match[1] == _META_LAST:
                return


def _lines(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        for line in file:
            yield line.decode("utf-8", "replace").rstrip()


def _lengths_in(text: str) -> int:
    """How many of some words are numbers that a length can be."""
    count = 0
    for word in text.split():
        try:
            count += math.isfinite(float(word)) and float(word) != 0
        except ValueError:
            continue
    return count


def _check_units(path: Path, field: str, units: list[str]) -> None:
    others = [unit for unit in units if unit.strip().lower() not in _MILLIMETRES]
    if others:
        raise HermesError(f"{path} has lengths in {others[0]} ({field}), but mm are needed: write it again in mm")


def _no_spacing(path: Path, fields: str) -> HermesError:
    return HermesError(
        f"{path} does not say how far its voxels are apart (its header has no {fields} of three axes): write it with "
        "its spacing and directions"
    )
