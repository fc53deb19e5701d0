"""The resampling of every plan: nnU-Net's torch resampling, linear, with its own rule for anisotropic images."""

from typing import Any

RESAMPLING_FUNCTION = "resample_torch_fornnunet"
_OPTIONS = {"force_separate_z": None, "memefficient_seg_resampling": False}
IMAGE_OPTIONS: dict[str, Any] = {"is_seg": False, **_OPTIONS}
SEGMENTATION_OPTIONS: dict[str, Any] = {"is_seg": True, **_OPTIONS}
