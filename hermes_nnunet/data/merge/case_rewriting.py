"""Check the files of one case, and write its label file in the collection's values."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hermes_nnunet.core.files import naming, written_beside
from hermes_nnunet.core.images.geometry import Geometry, grid_problem, in_axes_of
from hermes_nnunet.core.images.opening import OpenImage, open_image
from hermes_nnunet.core.images.remarks import NOT_HOUNSFIELD, Remark
from hermes_nnunet.core.images.voxels import may_be_hounsfield
from hermes_nnunet.core.images.writing import save_mended, save_on_grid
from hermes_nnunet.core.shortages import FEWER_PROCESSES, memory_for
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.content import content_hash, hash_and_range
from hermes_nnunet.errors import HermesError

_UNKNOWN = -1
_ENOUGH_UNKNOWN = 100


@dataclass(frozen=True)
class CaseFiles:
    """What a worker needs for one case of a member.

    Attributes:
        images: all images of the case that the collection uses.
        label: the member's label file; None where the images have no labels, so that all is to be background.
        outputs: label files to write, all with the same content.
        values: every value that the label file may hold -> value of the collection.
        dtype: of the label files to write.
        hashes: text file for each image, to write the hash of its content to before the label files.
        spacing_from: what decides the spacing where a header says two and nothing in it does.
        copies: image -> file to write it to, with a header that says one thing; for those that need `spacing_from`.
        cts: those of the images that are taken for CT.
        not_annotated: those of the values that the case is said not to annotate, each with its label.
    """

    images: tuple[Path, ...]
    label: Path | None
    outputs: tuple[Path, ...]
    values: Mapping[int, int]
    dtype: str
    hashes: tuple[Path, ...] = ()
    spacing_from: str | None = None
    copies: Mapping[Path, Path] = field(default_factory=dict)
    cts: frozenset[Path] = frozenset()
    not_annotated: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseReport:
    """Of one case: its problems, a line each, and how its images were read where that is in doubt."""

    problems: tuple[str, ...]
    remarks: tuple[Remark, ...]


def rewrite_case(files: CaseFiles) -> CaseReport:
    """Write the label files of a case, unless there are problems with its files.

    Raises:
        OSError: they cannot be written, which is not the case's fault.
        HermesError: memory is too small for the case.
    """
    with memory_for(files.images[0] if files.label is None else files.label, remedy=FEWER_PROCESSES):
        return _rewrite(files)


def _rewrite(files: CaseFiles) -> CaseReport:
    problems: list[str] = []
    remarks: list[Remark] = []
    hashes: dict[Path, str] = {}
    label = None if files.label is None else _open(files.label, files.spacing_from, problems)
    geometry = None
    beside = label
    for path in files.images:
        image = _open(path, files.spacing_from, problems)
        if image is None:
            continue
        geometry = image.geometry
        try:
            hashes[path], (lowest, highest) = hash_and_range(image)
            remarks += (*image.remarks, *image.voxel_remarks())
            if path in files.cts and not may_be_hounsfield(lowest, highest):
                remarks.append(Remark(NOT_HOUNSFIELD, image.name))
        except HermesError as error:
            problems.append(str(error))
        if files.label is None and beside is None:
            beside = image
        problem = None if beside is None else grid_problem(image.geometry, image.name, beside.geometry, beside.name)
        if problem is not None:
            problems.append(f"{problem}: put both on one grid")
    if label is None and files.label is not None:
        return CaseReport(tuple(problems), tuple(remarks))
    mapped = None
    if label is not None:
        try:
            mapped = _mapped(label, files, problems)
        except HermesError as error:
            problems.append(str(error))
    elif geometry is not None:
        mapped = np.zeros(geometry.shape, files.dtype, order="F")
    if geometry is not None and mapped is not None and not problems:
        for path, file in zip(files.images, files.hashes, strict=bool(files.hashes)):
            with naming(file):
                file.write_text(hashes[path])
        write_label(mapped if label is None else in_axes_of(geometry, mapped, label.geometry), geometry, files.outputs)
        _write_copies(files)
    return CaseReport(tuple(problems), tuple(remarks))


def _mapped(label: OpenImage, files: CaseFiles, problems: list[str]) -> np.ndarray:
    """The label image in the collection's values; a problem for values that it must not hold.

    Raises:
        HermesError: its voxels cannot be read.
    """
    allowed = {own: value for own, value in files.values.items() if own not in files.not_annotated}
    mapped, wrong = map_values(label.labels(), allowed, files.dtype)
    not_annotated = [int(value) for value in wrong if value in files.not_annotated]
    unknown = [value for value in wrong if value not in files.not_annotated]
    if not_annotated:
        names = listed(f"{value} ({files.not_annotated[value]})" for value in not_annotated)
        problems.append(
            f"{files.label} holds {names}, which its case is said not to annotate: correct the file, or what annotated "
            "says of it"
        )
    if unknown:
        problems.append(
            f"{files.label} holds {listed(unknown)}, which its dataset.json does not declare (known are "
            f"{listed(sorted(files.values))}): correct the file, or declare the labels"
        )
    return mapped


def hash_images(images: tuple[Sequence[Path], str | None]) -> tuple[list[str], list[str]]:
    """Hash of each image's content, and problems, a line each.

    Args:
        images: the files, and what decides the spacing where a header says two.
    """
    problems: list[str] = []
    hashes = []
    for path in images[0]:
        try:
            with memory_for(path):
                hashes.append(content_hash(open_image(path, images[1])))
        except HermesError as error:
            problems.append(str(error))
    return hashes, problems


def map_values(own: np.ndarray, values: Mapping[int, int], dtype: str) -> tuple[np.ndarray, list[int | float]]:
    """Map a label image (X, Y, Z) to the collection's values; also (some of) the values that `values` does not know.

    Plane by plane, since an index array needs eight bytes a voxel.
    """
    table = np.full(max(values) + 1, _UNKNOWN, dtype=np.int32)
    table[list(values)] = list(values.values())
    mapped = np.empty(own.shape, dtype=dtype, order="F")
    unknown: set[int | float] = set()
    for z in range(own.shape[2]):
        plane = own[..., z]
        inside = (plane >= 0) & (plane < len(table))
        if plane.dtype.kind == "f":
            inside &= plane == np.floor(plane)
        mapped_plane = table[np.where(inside, plane, 0).astype(np.intp)]
        mapped_plane[~inside] = _UNKNOWN
        wrong = mapped_plane == _UNKNOWN
        if wrong.any():
            # Else each NaN would count as another value.
            unknown.update(math.nan if value != value else value for value in np.unique(plane[wrong]).tolist())
            if len(unknown) >= _ENOUGH_UNKNOWN:
                break
        mapped[..., z] = np.where(wrong, 0, mapped_plane)
    return mapped, sorted(unknown)


def _open(path: Path, spacing_from: str | None, problems: list[str]) -> OpenImage | None:
    """An image; None, and a problem, where it is not one that can be used."""
    try:
        return open_image(path, spacing_from)
    except HermesError as error:
        problems.append(str(error))
        return None


def write_label(mapped: np.ndarray, geometry: Geometry, outputs: Sequence[Path]) -> None:
    """Write a label image (X, Y, Z) with exactly the geometry of its image, so that nothing later finds them apart."""
    with written_beside(outputs[0]) as temporary:
        save_on_grid(mapped, temporary, geometry)
    for output in outputs[1:]:
        with written_beside(output) as temporary:
            shutil.copyfile(outputs[0], temporary)


def _write_copies(files: CaseFiles) -> None:
    for image, copy in files.copies.items():
        with written_beside(copy) as temporary:
            save_mended(open_image(image, files.spacing_from), temporary)
