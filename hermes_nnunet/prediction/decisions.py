"""From the logits of a pass to label values and masks on the voxels of the image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.planning.labels.decision import Decision, overlapping_groups
from hermes_nnunet.planning.labels.scores import TaskScores
from hermes_nnunet.planning.resampling.options import LOGITS_FUNCTION
from hermes_nnunet.prediction.passes import Pass

# Called with each label and its logits (D, H, W) on the image's voxels.
LabelScores = Callable[[Label, torch.Tensor], None]


class CaseDecision:
    """The label map of an image, from one pass after another; between passes the highest score wins.

    Logits come to the image's voxels a few tasks at a time, so that memory does not grow with the number of tasks.
    """

    def __init__(self, plans_manager: PlansManager, configuration: ConfigurationManager) -> None:
        self._plans_manager = plans_manager
        self._configuration = configuration
        self._decision: Decision | None = None

    @property
    def label_map(self) -> np.ndarray:
        """(D, H, W), int16, by the passes added so far, of which there must be one."""
        assert self._decision is not None
        return self._decision.segmentation.permute(self._plans_manager.transpose_backward).numpy()

    @torch.inference_mode()
    def add(self, one: Pass, logits: torch.Tensor, properties: dict[str, Any], take: LabelScores | None = None) -> None:
        """Add the logits (T, d, h, w) of a pass on the network's voxels.

        Args:
            properties: of the preprocessed image.
            take: is shown the logits of each label on the image's voxels.
        """
        if self._decision is None:
            self._decision = Decision(properties["shape_before_cropping"], threshold=0.0)
        scores = self._resampled(logits, properties)
        values = [label.value for label in one.labels]
        corner = [start for start, _ in properties["bbox_used_for_cropping"]]
        for group in overlapping_groups([label.values for label in one.labels]):
            shown = scores
            if take is not None:
                whole = {task: scores.whole(task) for task in group}
                for task, logits_of_task in whole.items():
                    take(one.labels[task], self._on_image_voxels(logits_of_task, properties))
                shown = TaskScores(scores.shape, whole.__getitem__)
            self._decision.add_group(shown, group, values, corner)

    def _resampled(self, logits: torch.Tensor, properties: dict[str, Any]) -> TaskScores:
        """Logits (T, D, H, W) on the voxels of the cropped image."""
        shape = properties["shape_after_cropping_and_before_resampling"]
        spacing = [properties["spacing"][axis] for axis in self._plans_manager.transpose_forward]

        def resample(some: torch.Tensor) -> Any:
            return self._configuration.resampling_fn_probabilities(some, shape, self._configuration.spacing, spacing)

        if self._configuration.configuration["resampling_fn_probabilities"] == LOGITS_FUNCTION:
            return resample(logits)
        # A function of nnU-Net computes all that it is given.
        return TaskScores((len(logits), *shape), lambda task: torch.as_tensor(resample(logits[task : task + 1]))[0])

    def _on_image_voxels(self, logits: torch.Tensor, properties: dict[str, Any]) -> torch.Tensor:
        """Logits of a task (d, h, w), with what was cropped away as certain background, (D, H, W)."""
        shape = tuple(properties["shape_before_cropping"])
        if logits.shape != shape:
            empty = torch.full(shape, -torch.inf, dtype=logits.dtype)
            logits = insert_crop_into_image(empty, logits, properties["bbox_used_for_cropping"])
        return logits.permute(self._plans_manager.transpose_backward)
