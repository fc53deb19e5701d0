"""How nnU-Net reads the images of a collection and writes segmentations: every format, every direction, in one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.images.endings import IMAGE_ENDINGS
from hermes_nnunet.core.images.geometry import Geometry, check_one_grid, from_ras
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.images.writing import save_voxels

# Of properties: what people should know of an image's voxels.
REMARKS = "remarks"
_FEW = 255


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
            channel[:] = geometry.to_ras(image.voxels()).T
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


class OwnReaderPlans(PlansManager):
    """Plans whose images are read by HermesImageIO, whatever reader they name."""

    @property
    def image_reader_writer_class(self) -> type[BaseReaderWriter]:
        return HermesImageIO
