"""nnU-Net's label manager for networks with one sigmoid channel for each task."""

from typing import Any, TypeAlias

import numpy as np
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from hermes_nnunet.planning.labels.decision import decide, overlapping_groups
from hermes_nnunet.planning.labels.scores import TaskScores

Scores: TypeAlias = np.ndarray | torch.Tensor


class HermesLabelManager(LabelManager):
    """Every label of dataset.json, whether a value or a region, is a task with a sigmoid channel of its own.

    Where stock nnU-Net lets later regions overwrite earlier ones, tasks that share no label value compete by score.
    """

    def __init__(self, label_dict: dict[str, Any], regions_class_order: list[int] | None, **kwargs: Any) -> None:
        super().__init__(label_dict, regions_class_order, **{"inference_nonlin": torch.sigmoid, **kwargs})
        values = [region if isinstance(region, tuple) else (region,) for region in self.foreground_regions]
        self.written_values = regions_class_order if regions_class_order is not None else [v[0] for v in values]
        self.groups = overlapping_groups(values)

    @property
    def has_regions(self) -> bool:
        """True: nnU-Net then treats the channels as independent of each other."""
        return True

    def _get_regions(self) -> list[int | tuple[int, ...]]:
        """Tasks in the order of dataset.json: a label value, or a tuple of them."""
        regions = []
        for name, value in self.label_dict.items():
            if name in ("background", "ignore"):
                continue
            single = isinstance(value, int) or len(value) == 1
            regions.append(int(np.ravel(value)[0]) if single else tuple(int(v) for v in value))
        return regions

    def apply_inference_nonlin(self, logits: Scores | TaskScores) -> Scores:
        """Logits (T, D, H, W) -> probabilities, float32."""
        if not isinstance(logits, TaskScores):
            return super().apply_inference_nonlin(logits)
        probabilities = torch.empty(logits.shape)
        for task, place in enumerate(probabilities):
            place.copy_(self.inference_nonlin(logits.whole(task)))
        return probabilities

    def convert_logits_to_segmentation(self, predicted_logits: Scores | TaskScores) -> Scores:
        """Logits (T, D, H, W) -> label map (D, H, W); without a float32 copy or a sigmoid of all tasks."""
        return self._decide(predicted_logits, threshold=0.0)

    def convert_probabilities_to_segmentation(self, predicted_probabilities: Scores) -> Scores:
        """Probabilities (T, D, H, W) -> label map (D, H, W)."""
        return self._decide(predicted_probabilities, threshold=0.5)

    @torch.inference_mode()
    def _decide(self, scores: Scores | TaskScores, threshold: float) -> Scores:
        if scores.shape[0] != self.num_segmentation_heads:
            msg = f"expected one channel for each of {self.num_segmentation_heads} tasks, got {scores.shape[0]}"
            raise ValueError(msg)
        given = torch.from_numpy(scores) if isinstance(scores, np.ndarray) else scores
        segmentation = decide(given, threshold, self.written_values, self.groups)
        return segmentation if isinstance(scores, torch.Tensor) else segmentation.numpy().view(np.uint16)
