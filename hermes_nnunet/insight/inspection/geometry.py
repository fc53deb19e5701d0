"""Voxel sizes and numbers of voxels of the images of each member."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hermes_nnunet.core.images.opening import read_geometry
from hermes_nnunet.core.nnunet_files import read_fingerprint
from hermes_nnunet.core.nnunet_folders import RAW, optional_folder
from hermes_nnunet.insight.inspection.finding import Found
from hermes_nnunet.plans import PLANS_REMEDY

# (spacing in mm, voxels) along x, y, z of an image.
_Geometry = tuple[tuple[float, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Range:
    """Smallest, median and largest value along x, y, z."""

    smallest: tuple[float, ...]
    median: tuple[float, ...]
    largest: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[tuple[float, ...]]) -> "Range":
        table = np.array(list(values), dtype=float)
        return cls(*(tuple(np.round(row, 4).tolist()) for row in (table.min(0), np.median(table, 0), table.max(0))))


@dataclass(frozen=True)
class Geometries:
    """Ranges of each member that has images.

    Attributes:
        source: whether they are of the images' headers, or of nnU-Net's fingerprint (after empty borders were cut).
    """

    source: str
    spacing: dict[str, Range]
    size: dict[str, Range]


def read_geometries(found: Found) -> Geometries | None:
    """From the headers of the collection's images, or else from the fingerprint; None where there is neither.

    Raises:
        HermesError: an image cannot be read.
    """
    if found.collection is None:
        return None
    images = _image_files(found)
    if images:
        read = {case: _of_file(path) for case, path in tqdm(images.items(), desc="Reading headers", leave=False)}
        return _ranges("headers", found, read)
    fingerprint = found.fingerprint
    if fingerprint is None:
        return None
    content = read_fingerprint(fingerprint, PLANS_REMEDY)
    lists = content["spacings"], content["shapes_after_crop"]
    if any(len(values) != len(found.collection.cases) for values in lists):
        return None
    # In the order of the cases; arrays are (z, y, x).
    of_cases = zip(found.collection.cases, *lists, strict=True)
    read = {case: (tuple(spacing[::-1]), tuple(size[::-1])) for case, spacing, size in of_cases}
    return _ranges("fingerprint", found, read)


def _image_files(found: Found) -> dict[str, Path]:
    """First channel of every case; empty where one is not there."""
    raw = optional_folder(RAW)
    folders = [found.path, *([raw / found.name] if raw else [])]
    for folder in folders:
        files = {
            case: Path(os.path.abspath(folder / os.path.expandvars(entry["images"][0])))
            for case, entry in found.dataset_json.get("dataset", {}).items()
        }
        if files and all(path.is_file() for path in files.values()):
            return files
    return {}


def _of_file(path: Path) -> _Geometry:
    geometry = read_geometry(path)
    return geometry.ras_spacing, geometry.ras_shape


def _ranges(source: str, found: Found, geometries: dict[str, _Geometry]) -> Geometries:
    assert found.collection is not None
    by_member: dict[str, list[_Geometry]] = defaultdict(list)
    for case, geometry in geometries.items():
        if case in found.collection.cases:
            by_member[found.collection.cases[case].member].append(geometry)
    return Geometries(
        source,
        {member: Range.of(spacing for spacing, _ in of_member) for member, of_member in by_member.items()},
        {member: Range.of(size for _, size in of_member) for member, of_member in by_member.items()},
    )
