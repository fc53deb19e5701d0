"""How nnU-Net reads the images of a collection and writes segmentations: every format, every direction, in one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes, axcodes2ornt, io_orientation
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.images.endings import IMAGE_ENDINGS
from hermes_nnunet.core.images.geometry import LPS_TO_RAS, Geometry, check_one_grid, from_ras, in_axes_of
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.images.writing import save_voxels
from hermes_nnunet.errors import HermesError

# Of properties: what people should know of an image's voxels.
REMARKS = "remarks"
_FEW = 255
# Those of nnU-Net that keep the axes of a file.
_OTHER_READERS = "SimpleITKIO or NibabelIO"
# Numbers in ITK's direction of an image of three dimensions.
_DIRECTIONS = 9


class HermesImageIO(BaseReaderWriter):
    """Reads NIfTI, NRRD, MHA and GIPL with axes to the patient's right, front and head; writes back as it was.

    In place of nnU-Net's NibabelIOWithReorient: it gives the same voxels, and beyond it takes these formats, decides
    what a header that contradicts itself means, and keeps the codes of the image's header.
    """

    supported_file_endings = list(IMAGE_ENDINGS)  # noqa: RUF012 (nnU-Net's attribute)

    def read_images(self, image_fnames: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
        """The channels of a case, a file each: (channels, D, H, W), float32, and what `write_seg` needs.

        Raises:
            HermesError: a file cannot be read or does not say where it lies, or they do not lie on one grid.
        """
        images = [open_image(Path(name)) for name in image_fnames]
        check_one_grid({image.name: image.geometry for image in images})
        geometry = images[0].geometry
        # Sums depend on the order in memory, so that is the same for images stored in any direction.
        voxels = np.empty((len(images), *geometry.ras_shape[::-1]), np.float32)
        for channel, image in zip(voxels, images, strict=True):
            channel[:] = geometry.to_ras(in_axes_of(geometry, image.voxels(), image.geometry)).T
        remarks = {remark.what for image in images for remark in image.voxel_remarks()}
        return voxels, {**image_properties(geometry), REMARKS: sorted(remarks)}

    def read_seg(self, seg_fname: str) -> tuple[np.ndarray, dict[str, Any]]:
        """A label map (1, D, H, W), float32."""
        image = open_image(Path(seg_fname))
        labels = image.geometry.to_ras(image.labels()).T
        return labels[None].astype(np.float32, order="C"), image_properties(image.geometry)

    def write_seg(self, seg: np.ndarray, output_fname: str, properties: dict[str, Any]) -> None:
        """Write a label map (D, H, W) in the direction and with the header of the image."""
        affine = properties["nibabel_stuff"]["original_affine"]
        # Images that an older release has preprocessed have no header here.
        header = properties.get("nifti_header", {})
        save_voxels(in_own_direction(seg, properties), Path(output_fname), affine, header)


def in_own_direction(seg: np.ndarray, properties: Mapping[str, Any]) -> np.ndarray:
    """A label map (D, H, W) of nnU-Net on the voxels (X, Y, Z) of the image, as uint8 or uint16."""
    voxels = from_ras(seg.T, properties["nibabel_stuff"]["original_affine"])
    return np.ascontiguousarray(voxels, np.uint8 if voxels.max() < _FEW else np.uint16)


def image_properties(geometry: Geometry) -> dict[str, Any]:
    """nnU-Net's properties of an image; its NibabelIOWithReorient could write with them, as plans of old models do."""
    return {
        "spacing": list(geometry.ras_spacing[::-1]),
        "nibabel_stuff": {"original_affine": geometry.affine, "reoriented_affine": geometry.ras_affine},
        "nifti_header": dict(geometry.header),
    }


def check_axes(properties: Mapping[str, Any]) -> None:
    """See that an image in memory (channels, D, H, W) lies as HermesImageIO would have read it.

    nnU-Net's other readers keep the axes of the file, so that the network would look at the image upside down. What
    has no properties but its spacing is taken as it is.

    Args:
        properties: of the image, as a reader of nnU-Net gives them.

    Raises:
        HermesError: it does not.
    """
    affine = _affine_of_other_reader(properties)
    if affine is not None and axcodes2ornt("RAS").tolist() != io_orientation(affine).tolist():
        raise HermesError(
            f"the array's axes run to {''.join(aff2axcodes(affine))} (it was read by {_OTHER_READERS}?), but the "
            "network knows images with axes to the right, the front and the head (RAS): read it with HermesImageIO of "
            f"{__name__}"
        )


def _affine_of_other_reader(properties: Mapping[str, Any]) -> np.ndarray | None:
    """Affine of the array, as nnU-Net's readers that do not reorient tell it; None of other arrays."""
    of_nibabel, of_itk = properties.get("nibabel_stuff", {}), properties.get("sitk_stuff", {})
    if "original_affine" in of_nibabel and "reoriented_affine" not in of_nibabel:
        return np.asarray(of_nibabel["original_affine"])
    direction = of_itk.get("direction", ())
    if len(direction) != _DIRECTIONS:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3))
    return LPS_TO_RAS @ affine


class OwnReaderPlans(PlansManager):
    """Plans whose images are read by HermesImageIO, whatever reader they name."""

    @property
    def image_reader_writer_class(self) -> type[BaseReaderWriter]:
        return HermesImageIO
