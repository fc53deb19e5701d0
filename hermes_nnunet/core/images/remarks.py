"""How an image was read where its file leaves a doubt, counted and named for people."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from hermes_nnunet.core.wording import listed

QFORM = "spacing and place taken from the qform, since the sform's spacing is not the header's (pixdim)"
NO_CODES = "neither sform nor qform has a code: axes taken to run to the left, the front and the head"
NO_SPACE = "the header names no directions in the patient: axes taken as they stand for left, back and head (LPS)"
SIDES = "sform and qform look other ways, which other programs may read otherwise: the sform is taken"
OTHER_UNIT = "the header's lengths are in another unit, and were read as mm"
NOT_THE_UNIT = "the unit in the header cannot be, since no image is of that size: mm are taken"
PADDING = "one extreme value taken for the outside of the image"
NOT_HOUNSFIELD = "taken for CT, but no voxel is below 0, or all lie within 100: these may not be Hounsfield units"
SLICE_COPY = "left out, since another DICOM file has the very same bytes"
NO_SLICE = "left out, since not a slice of a DICOM series"


class Remark(NamedTuple):
    """A sentence on a file."""

    what: str
    name: str


def remark_lines(remarks: Iterable[Remark]) -> list[str]:
    """One line for each kind of remark, with the number of files and their names."""
    files: dict[str, dict[str, None]] = defaultdict(dict)
    for remark in remarks:
        files[remark.what][remark.name] = None
    return [f"{what} ({len(names)} file{'s' * (len(names) != 1)}): {listed(names)}" for what, names in files.items()]
