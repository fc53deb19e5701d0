"""Extra tasks of a case in training: tasks that it does not annotate, where it is known where they are not."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from hermes_nnunet.collection import Collection
from hermes_nnunet.networks.context_batch import NULL_ROW


class ExtraTasks:
    """Draws extra tasks for the cases of a batch, and knows which label values speak against them.

    A case's candidates are the tasks that it does not annotate and that exclude one that it does, or are absent from
    its member's images.

    Args:
        collection: tells what excludes what, and what is absent.
        number: most extra tasks of a case.
        ignore_label: label value whose voxels count in nothing.

    Attributes:
        rows: extra rows of every case, 0 where no case has a candidate.
    """

    def __init__(self, collection: Collection, number: int, ignore_label: int | None = None) -> None:
        self._collection = collection
        self._row_of = {task.name: row for row, task in enumerate(collection.tasks)}
        values = [value for task in collection.tasks for value in task.values]
        self._values = max(*values, ignore_label or 0) + 1
        self._ignore_label = ignore_label
        # Many cases annotate the same: a table of each kind of case.
        kinds = {self._kind_of(case) for case in collection.cases}
        self._negatives = {kind: self._negatives_of(*kind) for kind in sorted(kinds)}
        self.rows = min(number, max(map(len, self._negatives.values())))

    def candidates(self, member: str) -> tuple[str, ...]:
        """Tasks that cases of the member may be given."""
        return tuple(
            dict.fromkeys(task for (name, _), own in self._negatives.items() if name == member for task in own)
        )

    def drawn(self, case: str, step: Sequence[int]) -> list[str]:
        """Extra tasks of a case in a training step: the same in every process, and after an interruption.

        Args:
            case: its name in the collection.
            step: numbers that tell the step from all others, such as epoch and batch.
        """
        candidates = list(self._negatives[self._kind_of(case)])
        random = np.random.default_rng([zlib.crc32(case.encode()), *step])
        chosen = random.choice(len(candidates), min(self.rows, len(candidates)), replace=False)
        return [candidates[number] for number in chosen]

    def of_batch(self, cases: Sequence[str], step: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the task pool (B, E), -1 pads, and `negatives` (B, E, V) as in ContextBatch."""
        task_index = torch.full((len(cases), self.rows), NULL_ROW, dtype=torch.long)
        negatives = torch.zeros(len(cases), self.rows, self._values, dtype=torch.bool)
        for number, case in enumerate(cases):
            of_kind = self._negatives[self._kind_of(case)]
            for row, task in enumerate(self.drawn(case, step)):
                task_index[number, row] = self._row_of[task]
                negatives[number, row] = of_kind[task]
        return task_index, negatives

    def _kind_of(self, case: str) -> tuple[str, tuple[str, ...]]:
        """Member and annotated tasks of a case."""
        return self._collection.cases[case].member, self._collection.context_of(case).tasks

    def _negatives_of(self, member: str, own: Sequence[str]) -> dict[str, torch.Tensor]:
        """Candidates of a kind of case, each with (V,) whether a voxel of a label value does not belong to it."""
        values_of = {task.name: list(task.values) for task in self._collection.tasks}
        absent = self._collection.absent.get(member, ())
        found = {}
        for task in self._collection.task_names:
            if task in own:
                continue
            excluded = set(self._collection.excludes.get(task, ())).intersection(own)
            negative = torch.full((self._values,), task in absent)
            negative[[value for other in excluded for value in values_of[other]]] = True
            if self._ignore_label is not None:
                negative[self._ignore_label] = False
            if negative.any():
                found[task] = negative
        return found
