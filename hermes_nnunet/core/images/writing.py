"""Label maps on the grid of an image, and images whose header says one thing in all its places."""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from hermes_nnunet.core.images.endings import is_nifti
from hermes_nnunet.core.images.geometry import Geometry
from hermes_nnunet.core.images.itk import write_itk
from hermes_nnunet.core.images.nifti_headers import header_with
from hermes_nnunet.core.images.opening import NiftiImage, OpenImage

# As nibabel compresses: images hardly get smaller above it, and it is much faster.
_COMPRESSION = 1
_SCANNER = 1


def nifti_on(voxels: np.ndarray, affine: np.ndarray, fields: Mapping[str, Any]) -> nibabel.Nifti1Image:
    """A NIfTI image (X, Y, Z) with exactly the geometry of another, its codes included.

    Args:
        fields: of the other's header; empty where it had none, and then the place is that of a scanner.
    """
    if fields:
        header = header_with(fields)
        header.set_data_dtype(voxels.dtype)
        # nibabel takes the header's affine for it, and leaves its codes.
        header.set_data_shape(voxels.shape)
        return nibabel.Nifti1Image(voxels, header.get_best_affine(), header)
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, _SCANNER, strip_shears=True)
    image.set_sform(affine, _SCANNER)
    image.header.set_xyzt_units("mm")
    return image


def save_voxels(voxels: np.ndarray, path: Path, affine: np.ndarray, fields: Mapping[str, Any]) -> None:
    """Write voxels (X, Y, Z) in the format that the path names.

    Raises:
        OSError: the file cannot be written wholly.
    """
    if is_nifti(path):
        nibabel.save(nifti_on(voxels, affine, fields), path)
    else:
        write_itk(voxels, path, affine)


def save_on_grid(voxels: np.ndarray, path: Path, geometry: Geometry) -> None:
    """Write voxels (X, Y, Z) with exactly the geometry of another image, so that nothing can find them apart."""
    save_voxels(voxels, path, geometry.affine, geometry.header)


def save_mended(image: OpenImage, path: Path) -> None:
    """Write an image as NIfTI with its voxels as they are stored, and one geometry in all places of its header."""
    if not isinstance(image, NiftiImage) or not isinstance(image.image.dataobj, ArrayProxy):
        save_on_grid(image.voxels(), path, image.geometry)
        return
    header = cast(nibabel.Nifti1Header, image.image.header).copy()
    for name, value in image.geometry.header.items():
        header[name] = value
    proxy = image.image.dataobj
    save_stored(proxy.get_unscaled().reshape(image.shape), header, proxy, path)


def save_stored(stored: np.ndarray, header: nibabel.Nifti1Header, proxy: ArrayProxy, path: Path) -> None:
    """Write voxels as they are stored, without scaling them back and forth, under their file's own header."""
    header = header.copy()
    header.set_data_shape(stored.shape)
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    header["scl_slope"], header["scl_inter"] = proxy.slope, proxy.inter
    with _opened(path) as target:
        target.write(header.binaryblock)
        target.write(bytes(header.single_vox_offset - header.sizeof_hdr))
        target.write(np.asarray(stored, header.get_data_dtype()).tobytes(order="F"))


@contextmanager
def compressed(path: Path) -> Iterator[BinaryIO]:
    """A gzip file to write, with the same bytes for the same content at any time and place."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=raw, mtime=0) as file,
    ):
        yield cast(BinaryIO, file)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.name.lower().endswith(".gz"):
        with compressed(path) as file:
            yield file
    else:
        with open(path, "wb") as plain:
            yield plain
