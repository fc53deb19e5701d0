"""From which score on a task is taken to be there, and below which not, by the task's own validation."""

import math
from dataclasses import dataclass

import numpy as np

# Logits beyond have probabilities of 1e-5 and less, or 1 - 1e-5 and more.
LIMIT = 12.0
STEP = 0.1
_EDGES = np.linspace(-LIMIT, LIMIT, round(2 * LIMIT / STEP) + 1)
_MIDDLE = len(_EDGES) // 2


@dataclass(frozen=True)
class Thresholds:
    """Logits of a task between which nothing is said, and how often it is right outside.

    Attributes:
        present: from it on a voxel is the task's.
        absent: below it a voxel is not.
        precision: share of the voxels from `present` on that are the task's, in the validation.
        recall: share of the task's voxels that are from `present` on.
        missed: share of the task's voxels that are below `absent`.
        cases: that this was measured on.
    """

    present: float
    absent: float
    precision: float
    recall: float
    missed: float
    cases: int


class ScoreCounts:
    """How many voxels of held-out cases have which logit, in the task and outside."""

    def __init__(self) -> None:
        self.inside = np.zeros(len(_EDGES) - 1, np.int64)
        self.outside = np.zeros(len(_EDGES) - 1, np.int64)
        self.cases = 0

    def add(self, logits: np.ndarray, target: np.ndarray, counted: np.ndarray | None = None) -> None:
        """Add a case.

        Args:
            logits: of the task, any shape.
            target: whether each voxel is the task's.
            counted: which voxels count; None for all.
        """
        places = np.clip(np.floor((np.maximum(logits, -LIMIT) + LIMIT) / STEP), 0, len(self.inside) - 1).astype(int)
        if counted is not None:
            places, target = places[counted], target[counted]
        self.inside += np.bincount(places[target].ravel(), minlength=len(self.inside))
        self.outside += np.bincount(places[~target].ravel(), minlength=len(self.inside))
        self.cases += 1

    def thresholds(self, confidence: float) -> Thresholds | None:
        """The pair of thresholds nearest to a probability of one half; None where the task is never found surely.

        A probability of 1 - confidence is low enough in any case for a voxel to be taken for background.

        Args:
            confidence: least share of the voxels from `present` on that are the task's, and of the task's voxels that
                are from `absent` on.
        """
        inside = self.inside[::-1].cumsum()[::-1]
        every = inside + self.outside[::-1].cumsum()[::-1]
        precision = inside / np.maximum(every, 1)
        sure = [place for place in range(_MIDDLE, len(inside)) if inside[place] and precision[place] >= confidence]
        if not sure:
            return None
        recall = inside / inside[0]
        present = sure[0]
        lowest = int(np.searchsorted(_EDGES, math.log(1 / confidence - 1)))
        absent = max(place for place in range(_MIDDLE + 1) if recall[place] >= confidence or place <= lowest)
        return Thresholds(
            present=float(_EDGES[present]),
            absent=float(_EDGES[absent]),
            precision=float(precision[present]),
            recall=float(recall[present]),
            missed=float(1 - recall[absent]),
            cases=self.cases,
        )
