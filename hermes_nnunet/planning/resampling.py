"""The resampling of every plan: linear, with nnU-Net's own rule for anisotropic images.

Images and labels are resampled by nnU-Net's torch function, logits by ours, which gives the same numbers task by task.
"""

from typing import Any

RESAMPLING_FUNCTION = "resample_torch_fornnunet"
LOGITS_FUNCTION = "resample_logits_by_task"
_OPTIONS = {"force_separate_z": None, "memefficient_seg_resampling": False}
IMAGE_OPTIONS: dict[str, Any] = {"is_seg": False, **_OPTIONS}
SEGMENTATION_OPTIONS: dict[str, Any] = {"is_seg": True, **_OPTIONS}
LOGITS_OPTIONS: dict[str, Any] = {"force_separate_z": None}
