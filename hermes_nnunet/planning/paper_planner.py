"""Plans with the paper's networks: fixed patch and sizes, nothing derived from the images but their fingerprint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hermes_nnunet.modalities import ct_channels
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.saved_numbers import count_saved_numbers
from hermes_nnunet.planning.planner import TOKENS_PER_MODALITY, CollectionPlanner
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.planning.resampling.options import (
    IMAGE_FUNCTION,
    IMAGE_OPTIONS,
    LOGITS_FUNCTION,
    PAPER_LOGITS_OPTIONS,
    SEGMENTATION_OPTIONS,
)

PATCH_SIZE = (128, 128, 128)
BATCH_SIZE = 16
SMALLEST_BATCH_SIZE = 2
# bf16 autocast keeps most numbers in 2 bytes and some in 4.
BYTES_PER_SAVED_NUMBER = 2.5
# A weight, its gradient, two moments of LAMB, the average.
BYTES_PER_WEIGHT = 20
GIGABYTE = 1e9


def paper_configuration(
    network_class: type[ContextualNetwork],
    arguments: Mapping[str, Any],
    *,
    data_identifier: str,
    spacing: Sequence[float],
    median_shape: Sequence[float],
    input_channels: int,
    batch_size: int,
) -> dict[str, Any]:
    """A 3d_fullres configuration of a plans file with one of the paper's networks, 128^3 patches."""
    return {
        "data_identifier": data_identifier,
        "preprocessor_name": "HermesPreprocessor",
        "batch_size": batch_size,
        "patch_size": list(PATCH_SIZE),
        "median_image_size_in_voxels": [float(length) for length in median_shape],
        "spacing": [float(length) for length in spacing],
        "normalization_schemes": ["ZScoreNormalization"] * input_channels,
        "use_mask_for_norm": [False] * input_channels,
        "resampling_fn_data": IMAGE_FUNCTION,
        "resampling_fn_seg": IMAGE_FUNCTION,
        "resampling_fn_data_kwargs": IMAGE_OPTIONS,
        "resampling_fn_seg_kwargs": SEGMENTATION_OPTIONS,
        "resampling_fn_probabilities": LOGITS_FUNCTION,
        "resampling_fn_probabilities_kwargs": PAPER_LOGITS_OPTIONS,
        "architecture": {
            "network_class_name": f"{network_class.__module__}.{network_class.__name__}",
            "arch_kwargs": dict(arguments),
            "_kw_requires_import": [],
        },
        "batch_dice": False,
    }


class PaperPlanner(CollectionPlanner):
    """Plans 3d_fullres with one of the paper's networks: 1.5 mm, 128^3, batch size 16.

    -gpu_memory_target (GB of all GPUs together) makes the batch smaller, as many cases as should fit, at least two.
    """

    network_class: type[ContextualNetwork]
    gpu_memory_gb = float("inf")
    can_be_like_others = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Beside the tasks of the largest context a batch has a null row.
        self.hermes_plans = replace(self.hermes_plans, rows_per_case=self.hermes_plans.rows_per_case + 1)

    def _intensity_clipping(self) -> dict[str, dict[str, Any]]:
        return default_intensity_clipping(ct_channels(self.collection.members))

    def _plan_3d_fullres(
        self, spacing: np.ndarray, median_shape: np.ndarray, data_identifier: str, *_: Any
    ) -> dict[str, Any]:
        """The paper's patch and network, and as many cases as fit; `_memory_in_words` is set for the printed line."""
        arguments = {
            "num_modalities": len(self.hermes_plans.modalities),
            "tokens_per_modality": TOKENS_PER_MODALITY,
        }
        configuration = paper_configuration(
            self.network_class,
            arguments,
            data_identifier=data_identifier,
            spacing=spacing,
            median_shape=median_shape,
            input_channels=len(self.dataset_json["channel_names"]),
            batch_size=BATCH_SIZE,
        )
        fixed, per_case = self._gigabytes(configuration)
        fitting = (self.UNet_vram_target_GB - fixed) / per_case
        batch_size = int(min(BATCH_SIZE, max(SMALLEST_BATCH_SIZE, fitting)))
        self._memory_in_words = (
            f"should need {fixed + SMALLEST_BATCH_SIZE * per_case:.0f} GB of GPU memory for two cases a GPU, "
            f"{fixed + batch_size * per_case:.0f} GB for all {batch_size} on one (-gpu_memory_target plans a smaller "
            f"batch)"
        )
        # nnU-Net goes on to calculate with these as arrays.
        arrays = {"spacing": spacing, "median_image_size_in_voxels": median_shape}
        return {**configuration, **arrays, "batch_size": batch_size}

    def _gigabytes(self, configuration: Mapping[str, Any]) -> tuple[float, float]:
        """Estimated memory of the weights, and of each case, in training with bf16 autocast."""
        channels = len(self.dataset_json["channel_names"])
        architecture = configuration["architecture"]
        network = self._network_of_shapes(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            channels,
        )
        weights = sum(parameter.numel() for parameter in network.parameters())
        saved = count_saved_numbers(network, channels, configuration["patch_size"], self.hermes_plans.rows_per_case)
        return BYTES_PER_WEIGHT * weights / GIGABYTE, BYTES_PER_SAVED_NUMBER * saved / GIGABYTE

    def _network_in_words(self, configuration: Mapping[str, Any]) -> str:
        return f"{self.network_class.__name__}, which {self._memory_in_words}"
