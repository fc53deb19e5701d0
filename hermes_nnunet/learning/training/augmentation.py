"""The paper's augmentation, of batchgeneratorsv2's transforms."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import (
    BrightnessAdditiveTransform,
    MultiplicativeBrightnessTransform,
)
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.paper.members import INTENSITY_PROBABILITY, paper_members
from hermes_nnunet.learning.training.case_context import LastCase
from hermes_nnunet.modalities import MR_MODALITIES

SMALLEST_SCALE = 0.7
MR_INTENSITY_PROBABILITY = 0.2


class AugmentationByCase:
    """Transforms that depend on the case, of which nnU-Net tells a transform nothing.

    nnU-Net's loader transforms a patch right after it has loaded the patch's case.

    Args:
        last: the case that was loaded last.
        kind_of: kind of each case.
        of_kind: transforms of each kind.
    """

    def __init__(
        self, last: LastCase, kind_of: Mapping[str, Hashable], of_kind: Mapping[Any, ComposeTransforms]
    ) -> None:
        self.last = last
        self.kind_of = kind_of
        self.of_kind = of_kind

    def __call__(self, **patch: Any) -> dict[str, Any]:
        return self.of_kind[self.kind_of[self.last.name]](**patch)


def intensity_probabilities(collection: Collection, *, papers: bool) -> dict[str, float]:
    """Probability of each change of intensity, for each case of a collection.

    Args:
        papers: take those of the paper's members, which all members must be; else by modality, as the paper's rule.
    """
    if papers:
        table = paper_members()
        return {case: table[entry.member].intensity_probability for case, entry in collection.cases.items()}
    return {
        case: MR_INTENSITY_PROBABILITY if entry.modality in MR_MODALITIES else INTENSITY_PROBABILITY
        for case, entry in collection.cases.items()
    }


def paper_augmentation(
    patch_size: Sequence[int],
    rotation: tuple[float, float],
    in_plane: bool,
    intensity_probability: float = INTENSITY_PROBABILITY,
) -> list[BasicTransform]:
    """The paper's random transforms of an image and its label map.

    Half of the patches are rotated about each axis by an angle in `rotation`, and scaled along each by 0.7 to 1/0.7.
    Each with `intensity_probability`: multiplied by 0.7 to 1.3; shifted by a normal random number of standard deviation
    0.1; gamma 0.7 to 1.5, mean and standard deviation kept; contrast 0.7 to 1.3, range kept; blurred with sigma 0.5 to
    1 voxels; Gaussian noise of standard deviation 0 to 0.1. No mirroring, no translation.

    Where it differs from the paper's: no shear (there up to 0.1 between axes); angles are not whole degrees; the patch
    is turned within nnU-Net's larger surroundings, so less of it is padded.

    Args:
        patch_size: voxels z, y, x.
        rotation: lowest and highest angle in radians.
        in_plane: rotate and scale in the plane y, x only, for patches much thinner along z.
    """
    return [
        *_spatial(patch_size, rotation, in_plane),
        *(RandomTransform(transform, apply_probability=intensity_probability) for transform in _intensity()),
    ]


def _spatial(patch_size: Sequence[int], rotation: tuple[float, float], in_plane: bool) -> list[BasicTransform]:
    size = tuple(patch_size[1:] if in_plane else patch_size)
    affine, crop = (
        SpatialTransform(
            size,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_rotation=probability,
            rotation=rotation,
            p_scaling=probability,
            scaling=(SMALLEST_SCALE, 1 / SMALLEST_SCALE),
            mode_seg="nearest",
            border_mode_seg="constant",
            padding_value_seg=-1,
        )
        for probability in (1, 0)
    )
    either = OneOfTransform([affine, crop])
    return [Convert3DTo2DTransform(), either, Convert2DTo3DTransform()] if in_plane else [either]


def _intensity() -> list[BasicTransform]:
    each_channel = {"synchronize_channels": False, "p_per_channel": 1}
    return [
        MultiplicativeBrightnessTransform((0.7, 1.3), **each_channel),
        BrightnessAdditiveTransform(mu=0, sigma=0.1, **each_channel),
        GammaTransform((0.7, 1.5), p_invert_image=0, p_retain_stats=1, **each_channel),
        ContrastTransform((0.7, 1.3), preserve_range=True, **each_channel),
        # Without `benchmark`, which times two ways of blurring: the faster one is not always the same.
        GaussianBlurTransform((0.5, 1.0), synchronize_axes=True, **each_channel),
        GaussianNoiseTransform((0, 0.1), **each_channel),
    ]
