"""What can be said of a case from names and headers, before anything is written."""

import re
from dataclasses import dataclass

import numpy as np

from hermes_nnunet.core.images.geometry import GEOMETRY_TOLERANCE_MM
from hermes_nnunet.data.conversion.converter import SourceCase
from hermes_nnunet.data.conversion.volumes import FILE_ENDING, Grid, Volume
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME

# As a file name everywhere, and without what would look like nnU-Net's channel number.
_CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

# Headers of published files are off by so much, since their numbers were rounded.
MENDED_MM = 0.02


@dataclass(frozen=True)
class Findings:
    """Of one case.

    Attributes:
        problems: a line each.
        mended: whether the label gets the image's header, which differs from its own.
        aligned: whether a channel gets the first one's header, which differs from its own by more than rounding.
        respaced: files whose headers say two spacings, and will say one.
        placeless: images whose headers say neither place nor spacing: their affine is 1.
    """

    problems: tuple[str, ...]
    mended: bool
    aligned: bool = False
    respaced: tuple[str, ...] = ()
    placeless: tuple[str, ...] = ()


def check_case(case: SourceCase) -> Findings:
    """Check that all files of a case are there and can be opened, and lie on one grid."""
    problems = list(case.problems)
    if not _CASE_NAME.fullmatch(case.name):
        problems.append("its name must consist of letters, digits and . _ + -")
    if len(f"{case.name}_0000{FILE_ENDING}") > LONGEST_FILE_NAME:
        problems.append(f"its name has {len(case.name)} letters, too many for names of files: rename it in the source")
    volumes = [*case.images, *([] if case.label is None else [case.label])]
    grids = [_grid(volume, problems) for volume in volumes]
    mended = aligned = False
    for volume, grid in list(zip(volumes, grids, strict=True))[1:]:
        if grid is None or grids[0] is None:
            continue
        of_label = volume is case.label
        tolerance = np.inf if of_label and case.label_on_image else MENDED_MM
        difference, problem = compare_grids(grids[0], grid, tolerance)
        if problem is not None:
            problems.append(f"{volume.files[0]} {problem} {volumes[0].files[0]}")
        mended |= of_label and difference != 0 and problem is None
        aligned |= not of_label and difference > GEOMETRY_TOLERANCE_MM and problem is None
    known = [(volume, grid) for volume, grid in zip(volumes, grids, strict=True) if grid is not None]
    respaced = tuple(volume.files[0].name for volume, grid in known if grid.mended)
    placeless = tuple(
        volume.files[0].name
        for volume, grid in known
        if volume is not case.label and np.array_equal(grid.affine, np.eye(4))
    )
    return Findings(tuple(problems), mended, aligned, respaced, placeless)


def compare_grids(first: Grid, second: Grid, tolerance_mm: float = GEOMETRY_TOLERANCE_MM) -> tuple[float, str | None]:
    """The largest difference of the two affines in mm, and what keeps the two from being one grid, in words."""
    if first.shape != second.shape:
        return np.inf, f"has shape {second.shape}, not the {first.shape} of"
    difference = float(np.abs(first.affine - second.affine).max())
    # Written to be true of NaN too.
    if not (difference <= tolerance_mm or tolerance_mm == np.inf):
        return difference, f"lies {difference:.4g} mm (allowed {tolerance_mm} mm) off the grid of"
    return difference, None


def _grid(volume: Volume, problems: list[str]) -> Grid | None:
    missing = [path for path in volume.files if not path.exists()]
    if missing:
        problems.append(f"{missing[0]} is missing")
        return None
    try:
        return volume.grid()
    except HermesError as error:
        problems.append(str(error))
        return None
