"""Clipping of intensities by modality."""

from collections.abc import Mapping

import numpy as np

CT = "CT"
CT_RANGE_HU = (-991.0, 500.0)
PERCENTILES = (2.0, 98.0)
DEFAULT_RULE = "default"


def default_intensity_clipping() -> dict[str, dict[str, list[float]]]:
    """The paper's rules: CT in HU to [-991, 500], every other modality to its own 2nd..98th percentile."""
    return {CT: {"range": list(CT_RANGE_HU)}, DEFAULT_RULE: {"percentiles": list(PERCENTILES)}}


def clip_intensities(image: np.ndarray, modality: str, rules: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Clip one channel in place by the rule of its modality, or by the default rule."""
    rule = rules.get(modality, rules[DEFAULT_RULE])
    low, high = rule["range"] if "range" in rule else np.percentile(image, rule["percentiles"])
    np.clip(image, low, high, out=image)
