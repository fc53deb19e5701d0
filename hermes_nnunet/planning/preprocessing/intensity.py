"""Clipping and normalisation of intensities by modality."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from nnunetv2.preprocessing.normalization.default_normalization_schemes import CTNormalization, ImageNormalization

from hermes_nnunet.modalities import CT

CT_RANGE_HU = (-991.0, 500.0)
PERCENTILES = (2.0, 98.0)
DEFAULT_RULE = "default"


def default_intensity_clipping() -> dict[str, dict[str, list[float]]]:
    """The paper's rules: CT in HU to [-991, 500], every other modality to its own 2nd..98th percentile."""
    return {CT: {"range": list(CT_RANGE_HU)}, DEFAULT_RULE: {"percentiles": list(PERCENTILES)}}


def intensity_rule(modality: str, rules: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The rule of a modality, or the default rule."""
    return rules.get(modality, rules[DEFAULT_RULE])


def clip_intensities(image: np.ndarray, rule: Mapping[str, Any]) -> None:
    """Clip one channel in place."""
    low, high = rule["range"] if "range" in rule else np.percentile(image, rule["percentiles"])
    np.clip(image, low, high, out=image)


def fixed_normalization(rule: Mapping[str, Any]) -> ImageNormalization | None:
    """nnU-Net's normalisation of CT where the rule has a mean and a deviation of all images; None for an image's own.

    It clips, too.
    """
    if "mean" not in rule:
        return None
    low, high = rule["range"]
    properties = {"percentile_00_5": low, "percentile_99_5": high, "mean": rule["mean"], "std": rule["std"]}
    return CTNormalization(use_mask_for_norm=False, intensityproperties=properties)
