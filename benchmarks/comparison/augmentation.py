"""Augmentation that leaves a density its value."""

from typing import Any

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

CHANGES_OF_VALUES = (MultiplicativeBrightnessTransform, ContrastTransform, GammaTransform)


def without_changes_of_values(transforms: ComposeTransforms) -> ComposeTransforms:
    """The same transforms, but none of brightness, contrast or gamma: a density keeps its value."""
    return ComposeTransforms([each for each in transforms.transforms if not _changes_values(each)])


def _changes_values(transform: Any) -> bool:
    return isinstance(transform, RandomTransform) and isinstance(transform.transform, CHANGES_OF_VALUES)
