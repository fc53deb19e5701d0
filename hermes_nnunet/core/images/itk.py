"""Images of SimpleITK, which reads NRRD, MHA and GIPL, with their geometry in RAS."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.images.geometry import LPS_TO_RAS, Geometry, axis_lengths, check_plausible, is_usable
from hermes_nnunet.core.shortages import write_error
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from SimpleITK import Image, ImageFileReader

# Directions are written with some digits.
_SAME = 1e-4


def read_information(path: Path) -> "ImageFileReader":
    """The header of a file.

    Raises:
        HermesError: it cannot be read, or its voxels are no numbers.
    """
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise HermesError(f"{path} cannot be read ({_reason(error)}): copy it again, or leave it out") from None
    return reader


def voxel_bytes(header: "ImageFileReader") -> int:
    """Bytes of all voxels that a header promises."""
    import SimpleITK

    kind = SimpleITK.GetPixelIDValueAsString(header.GetPixelID())
    bits = re.search(r"\d+", kind)
    return math.prod(header.GetSize()) * (int(bits[0]) // 8 if bits else 1)


def read_voxels(path: Path) -> np.ndarray:
    """All voxels (X, Y, Z) of a file.

    Raises:
        HermesError: it cannot be read.
    """
    import SimpleITK

    try:
        return voxels_of(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise HermesError(f"{path} cannot be read ({_reason(error)}): copy it again, or leave it out") from None


def voxels_of(image: "Image") -> np.ndarray:
    """Voxels (X, Y, Z) of an image."""
    import SimpleITK

    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)


def itk_geometry(image: "Image | ImageFileReader", name: str) -> Geometry:
    """Geometry of an image, or of a header that was read.

    Raises:
        HermesError: it is not of three dimensions, its voxels are no single real numbers, or its axes are not usable or
            not those of an image.
    """
    import SimpleITK

    if image.GetDimension() != 3:
        raise HermesError(f"{name} has {image.GetDimension()} dimensions {image.GetSize()}: the model takes three")
    components = (
        image.GetNumberOfComponents()
        if isinstance(image, SimpleITK.ImageFileReader)
        else image.GetNumberOfComponentsPerPixel()
    )
    kind = SimpleITK.GetPixelIDValueAsString(image.GetPixelID())
    if components != 1 or "complex" in kind:
        raise HermesError(f"{name} stores {components} numbers a voxel ({kind}): give one image for each channel")
    spacing = image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * spacing
    affine[:3, 3] = image.GetOrigin()
    affine = LPS_TO_RAS @ affine
    if not is_usable(affine):
        raise HermesError(f"{name} does not say where its voxels lie: its axes or its spacing are flat or no numbers")
    lengths = axis_lengths(affine)
    # Formats may have directions that are no unit vectors.
    x, y, z = (float(length) for length in (spacing if np.allclose(spacing, lengths, rtol=_SAME, atol=0) else lengths))
    i, j, k = image.GetSize()
    return check_plausible(Geometry((i, j, k), affine, (x, y, z)), name)


def write_itk(voxels: np.ndarray, path: Path, affine: np.ndarray) -> None:
    """Write voxels (X, Y, Z) in a format of SimpleITK.

    Raises:
        OSError: the file cannot be written wholly.
    """
    import SimpleITK

    try:
        SimpleITK.WriteImage(itk_image(voxels, affine), str(path), useCompression=True)
    except RuntimeError as error:
        raise write_error(path, str(error)) from None
    # ITK does not look whether a GIPL file, which is never compressed, has found room.
    if path.suffix.lower() == ".gipl" and path.stat().st_size < voxels.nbytes:
        raise write_error(path, "it is cut short")


def itk_image(voxels: np.ndarray, affine: np.ndarray) -> "Image":
    """An image of voxels (X, Y, Z)."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    lengths = axis_lengths(affine)
    in_lps = LPS_TO_RAS @ affine
    image.SetSpacing(lengths.tolist())
    image.SetDirection((in_lps[:3, :3] / lengths).ravel().tolist())
    image.SetOrigin(in_lps[:3, 3].tolist())
    return image


def _reason(error: RuntimeError) -> str:
    return f"... {' '.join(str(error).split())[-200:]}"
