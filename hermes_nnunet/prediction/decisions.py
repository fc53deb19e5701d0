"""From the logits of a pass to label values and masks on the voxels of the image."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.labels.decision import Decision, overlapping_groups
from hermes_nnunet.prediction.label_table import Label
from hermes_nnunet.prediction.passes import Pass

# Called with each label and its logits (D, H, W) on the image's voxels.
LabelScores = Callable[[Label, torch.Tensor], None]


class CaseDecision:
    """The label map of an image, from one pass after another; between passes the highest score wins.

    Logits come to the image's voxels one task at a time, so that memory does not grow with the number of tasks.

    Attributes:
        label_map: (D, H, W), int16, by the passes added so far.
    """

    def __init__(self, plans_manager: PlansManager, configuration: ConfigurationManager) -> None:
        self._plans_manager = plans_manager
        self._configuration = configuration
        self._decision = Decision(threshold=0.0)

    @property
    def label_map(self) -> np.ndarray:
        return self._decision.segmentation.numpy()

    @torch.inference_mode()
    def add(self, one: Pass, logits: torch.Tensor, properties: dict[str, Any], take: LabelScores | None = None) -> None:
        """Add the logits (T, d, h, w) of a pass on the network's voxels.

        Args:
            properties: of the preprocessed image.
            take: is shown the logits of each label on the image's voxels.
        """
        for group in overlapping_groups([label.values for label in one.labels]):
            self._decision.add_group(self._scores_of(group, one, logits, properties, take))

    def _scores_of(
        self,
        group: list[int],
        one: Pass,
        logits: torch.Tensor,
        properties: dict[str, Any],
        take: LabelScores | None,
    ) -> Iterator[tuple[torch.Tensor, int]]:
        for channel in group:
            scores = self._on_image_voxels(logits[channel : channel + 1], properties)
            label = one.labels[channel]
            if take is not None:
                take(label, scores)
            yield scores, label.value

    def _on_image_voxels(self, logits: torch.Tensor, properties: dict[str, Any]) -> torch.Tensor:
        """Logits (1, d, h, w) resampled, with what was cropped away as certain background, (D, H, W)."""
        plans, configuration = self._plans_manager, self._configuration
        spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
        resampled = configuration.resampling_fn_probabilities(
            logits, properties["shape_after_cropping_and_before_resampling"], configuration.spacing, spacing
        )
        whole = torch.as_tensor(resampled)
        shape = (1, *properties["shape_before_cropping"])
        if whole.shape != shape:
            empty = torch.full(shape, -torch.inf, dtype=whole.dtype)
            whole = insert_crop_into_image(empty, whole, properties["bbox_used_for_cropping"])
        return whole[0].permute(plans.transpose_backward)
