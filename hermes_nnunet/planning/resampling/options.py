"""What every plan says of resampling: linear, with nnU-Net's own rule for anisotropic images."""

from typing import Any

IMAGE_FUNCTION = "resample_linear"
LOGITS_FUNCTION = "resample_logits_by_task"
LOGITS_OPTIONS: dict[str, Any] = {"force_separate_z": None, "interpolate_probabilities": True}
PAPER_LOGITS_OPTIONS: dict[str, Any] = {"force_separate_z": None}
IMAGE_OPTIONS: dict[str, Any] = {"is_seg": False, "force_separate_z": None}
SEGMENTATION_OPTIONS: dict[str, Any] = {"is_seg": True, "force_separate_z": None}
