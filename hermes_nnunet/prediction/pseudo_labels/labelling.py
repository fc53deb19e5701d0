"""The label map of an image: the tasks of which the model is sure, and where it is not."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.planning.labels.decision import overlapping_groups
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.pseudo_labels.thresholds import Thresholds


class SureLabels:
    """Collects the logits of one label after another, as CaseDecision shows them.

    Within a group of labels that overlap, they are painted in their order; between groups the highest logit wins. A
    voxel is unsure where a label between its thresholds is of the group that wins, or has a higher logit than it, or
    where nothing wins.

    Args:
        passes: whose labels will come.
        thresholds: by task; other labels say nothing.
    """

    def __init__(self, passes: Sequence[Pass], thresholds: Mapping[str, Thresholds]) -> None:
        self._thresholds = thresholds
        self._group_of: dict[str, list[str]] = {}
        for one in passes:
            for group in overlapping_groups([label.values for label in one.labels]):
                names = [one.labels[place].name for place in group]
                self._group_of |= {name: [other for other in names if other in thresholds] for name in names}
        self._waiting: dict[str, tuple[Label, np.ndarray]] = {}
        self._values: np.ndarray | None = None

    def take(self, label: Label, logits: torch.Tensor) -> None:
        """Take the logits (D, H, W) of a label."""
        if label.name not in self._thresholds:
            return
        self._waiting[label.name] = label, logits.float().numpy()
        group = self._group_of[label.name]
        if all(name in self._waiting for name in group):
            self._add([self._waiting.pop(name) for name in group])

    def label_map(self, values: Mapping[int, int], ignore: int) -> np.ndarray:
        """(D, H, W), uint16.

        Args:
            values: label value of the collection -> value to write.
            ignore: value where the model is not sure.
        """
        assert self._values is not None
        table = np.zeros(max(values) + 1, np.uint16)
        table[list(values)] = list(values.values())
        unsure = self._winner_unsure | (self._best_unsure > self._best)
        return np.where(unsure, np.uint16(ignore), table[self._values])

    def _add(self, group: Sequence[tuple[Label, np.ndarray]]) -> None:
        shape = group[0][1].shape
        if self._values is None:
            self._values = np.zeros(shape, np.uint16)
            self._best = np.full(shape, -np.inf, np.float32)
            self._winner_unsure, self._best_unsure = np.zeros(shape, bool), np.full(shape, -np.inf, np.float32)
        value, score, unsure = np.zeros(shape, np.uint16), np.full(shape, -np.inf, np.float32), np.zeros(shape, bool)
        for label, logits in group:
            limits = self._thresholds[label.name]
            over = logits > limits.present
            value[over], score[over] = label.value, logits[over]
            between = ~over & (logits >= limits.absent)
            unsure |= between
            np.maximum(self._best_unsure, logits, out=self._best_unsure, where=between)
        wins = score > self._best
        self._best[wins], self._values[wins], self._winner_unsure[wins] = score[wins], value[wins], unsure[wins]
