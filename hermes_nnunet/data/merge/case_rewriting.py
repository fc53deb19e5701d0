"""Check the files of one case, and write its label file in the collection's values."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.reading import UNREADABLE
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.content import content_hash

GEOMETRY_TOLERANCE_MM = 1e-3

# All header fields that place voxels in space; the rest of an image's header is not a label file's business.
_GEOMETRY_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
_UNKNOWN = -1
_ENOUGH_UNKNOWN = 100


@dataclass(frozen=True)
class CaseFiles:
    """What a worker needs for one case of a member.

    Attributes:
        images: all images of the case that the collection uses.
        label: the member's label file.
        outputs: label files to write, all with the same content.
        values: every value that the label file may hold -> value of the collection.
        dtype: of the label files to write.
        hashes: text file for each image, to write the hash of its content to before the label files.
    """

    images: tuple[Path, ...]
    label: Path
    outputs: tuple[Path, ...]
    values: Mapping[int, int]
    dtype: str
    hashes: tuple[Path, ...] = ()


def rewrite_case(files: CaseFiles) -> list[str]:
    """Write the label files of a case, unless there are problems with its files; these are returned, a line each."""
    problems: list[str] = []
    label, own = _read(files.label, problems, scaled=True)
    image = None
    hashes = {}
    for path in files.images:
        # Whether the voxels are there can be told before scaling them to float64.
        image, voxels = _read(path, problems, scaled=False)
        if image is None or voxels is None:
            continue
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            problems.append(f"{path} holds NaN or infinite voxels: replace them by a value that means air or nothing")
        if label is not None:
            problems += _geometry_problems(image, path, label, files.label)
        hashes[path] = content_hash(image, voxels)
        del voxels
    if own is None:
        return problems
    mapped, unknown = map_values(own, files.values, files.dtype)
    if unknown:
        problems.append(
            f"{files.label} holds {listed(unknown)}, which its dataset.json does not declare (known are "
            f"{listed(sorted(files.values))}): correct the file, or declare the labels"
        )
    if image is not None and not problems:
        try:
            for path, file in zip(files.images, files.hashes, strict=bool(files.hashes)):
                file.write_text(hashes[path])
            write_label(mapped, image, files.outputs)
        except OSError as error:
            problems.append(
                f"{files.outputs[0]} cannot be written ({error.strerror}): make room, or the folder writable"
            )
    return problems


def hash_images(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Hash of each image's content, and problems, a line each."""
    problems: list[str] = []
    hashes = []
    for path in paths:
        image, voxels = _read(path, problems, scaled=False)
        if image is not None and voxels is not None:
            hashes.append(content_hash(image, voxels))
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
            unknown.update(np.unique(plane[wrong]).tolist())
            if len(unknown) >= _ENOUGH_UNKNOWN:
                break
        mapped[..., z] = np.where(wrong, 0, mapped_plane)
    return mapped, sorted(unknown)


def _read(path: Path, problems: list[str], *, scaled: bool) -> tuple[nibabel.Nifti1Image | None, np.ndarray | None]:
    """An image and all its voxels; None, and a problem, where it cannot be read or is not three-dimensional."""
    try:
        image = cast(nibabel.Nifti1Image, nibabel.load(path, mmap=False))
        stored = cast(ArrayProxy, image.dataobj)
        voxels = np.asanyarray(stored) if scaled else stored.get_unscaled()
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        problems.append(f"{path} cannot be read ({type(error).__name__}: {reason}): copy it again, or leave it out")
        return None, None
    if voxels.ndim != 3:
        problems.append(
            f"{path} has {voxels.ndim} dimensions, shape {voxels.shape}: nnU-Net wants 3, one file a channel"
        )
        return None, None
    if voxels.dtype.kind not in "iuf":
        problems.append(f"{path} stores voxels of type {voxels.dtype}: convert it to numbers")
        return None, None
    return image, voxels


def _geometry_problems(
    image: nibabel.Nifti1Image, image_path: Path, label: nibabel.Nifti1Image, label_path: Path
) -> list[str]:
    if image.shape != label.shape:
        return [f"{image_path} has shape {image.shape}, but {label_path} {label.shape}: put both on one grid"]
    difference = float(np.abs(image.affine - label.affine).max())
    # Written to be true of NaN too.
    if not difference <= GEOMETRY_TOLERANCE_MM:
        return [
            f"the affines of {image_path} and {label_path} differ by {difference:.4g} mm (allowed "
            f"{GEOMETRY_TOLERANCE_MM} mm): put both on one grid"
        ]
    return []


def write_label(mapped: np.ndarray, image: nibabel.Nifti1Image, outputs: Sequence[Path]) -> None:
    """Write a label image (X, Y, Z) with exactly the geometry of `image`, so that nothing later can find them apart."""
    header = nibabel.Nifti1Header()
    for name in _GEOMETRY_FIELDS:
        header[name] = image.header[name]
    header.set_data_dtype(mapped.dtype)
    with written_beside(outputs[0]) as temporary:
        nibabel.save(nibabel.Nifti1Image(mapped, image.affine, header), temporary)
    for output in outputs[1:]:
        with written_beside(output) as temporary:
            shutil.copyfile(outputs[0], temporary)
