"""How much of a member's images each of its tasks fills."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from hermes_nnunet.collection import Collection


def task_frequencies(dataset: Any, cases: Iterable[str], collection: Collection) -> np.ndarray:
    """Share of the voxels of the annotated cases that each task of the pool fills; at least one voxel.

    Args:
        dataset: nnU-Net's data set of preprocessed cases.
        cases: which of them are counted.
    """
    values_of = {task.name: task.values for task in collection.tasks}
    found: Counter[str] = Counter()
    voxels: Counter[str] = Counter()
    for case in cases:
        labels = np.asarray(dataset.load_case(case)[1])
        for task in collection.context_of(case).tasks:
            voxels[task] += labels.size
            found[task] += int(np.isin(labels, values_of[task]).sum())
    return np.array([max(found[task], 1) / max(voxels[task], 1) for task in collection.task_names])
