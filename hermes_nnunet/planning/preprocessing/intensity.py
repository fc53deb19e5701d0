"""Clipping and normalisation of intensities by modality."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nnunetv2.preprocessing.normalization.default_normalization_schemes import CTNormalization, ImageNormalization

from hermes_nnunet.modalities import CT

CT_RANGE_HU = (-991.0, 500.0)
PERCENTILES = (2.0, 98.0)
DEFAULT_RULE = "default"


def default_intensity_clipping(ct_channels: Sequence[int] | None = None) -> dict[str, dict[str, Any]]:
    """The paper's rules: CT in HU to [-991, 500], every other modality to its own 2nd..98th percentile.

    Args:
        ct_channels: of the CT images' channels; None for all.
    """
    rule: dict[str, Any] = {"range": list(CT_RANGE_HU)}
    if ct_channels is not None:
        rule["channels"] = list(ct_channels)
    return {CT: rule, DEFAULT_RULE: {"percentiles": list(PERCENTILES)}}


def intensity_rule(modality: str, rules: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The rule of a modality, or the default rule."""
    return rules.get(modality, rules[DEFAULT_RULE])


def own_channels(modality: str, rules: Mapping[str, Mapping[str, Any]], channels: int) -> list[int]:
    """Those of an image's channels that the rule of its modality is for; the others have the default rule."""
    own = intensity_rule(modality, rules).get("channels", range(channels))
    return [channel for channel in range(channels) if channel in own]


def channel_rules(modality: str, rules: Mapping[str, Mapping[str, Any]], channels: int) -> list[Mapping[str, Any]]:
    """The rule of each channel of an image."""
    own = own_channels(modality, rules, channels)
    return [intensity_rule(modality if channel in own else DEFAULT_RULE, rules) for channel in range(channels)]


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
