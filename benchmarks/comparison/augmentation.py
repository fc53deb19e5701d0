"""Augmentation that knows the modality of the case, which nnU-Net's transforms do not."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

Patch: TypeAlias = dict[str, Any]
CHANGES_OF_VALUES = (MultiplicativeBrightnessTransform, ContrastTransform, GammaTransform)


class AugmentationByModality:
    """The transforms of a patch's modality, or those of all others.

    Args:
        modality: tells the modality of the patch that comes next.
    """

    def __init__(
        self,
        modality: Callable[[], str],
        of_modality: Mapping[str, ComposeTransforms],
        of_others: ComposeTransforms,
    ) -> None:
        self._modality = modality
        self._of_modality = of_modality
        self._of_others = of_others

    def __call__(self, **patch: Any) -> Patch:
        return self._of_modality.get(self._modality(), self._of_others)(**patch)


def without_changes_of_values(transforms: ComposeTransforms) -> ComposeTransforms:
    """The same transforms, but none of brightness, contrast or gamma: a density keeps its value."""
    return ComposeTransforms([each for each in transforms.transforms if not _changes_values(each)])


def _changes_values(transform: Any) -> bool:
    return isinstance(transform, RandomTransform) and isinstance(transform.transform, CHANGES_OF_VALUES)
