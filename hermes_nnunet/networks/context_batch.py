"""Contexts of a batch as index tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hermes_nnunet.collection import UNKNOWN_MODALITY, Context
from hermes_nnunet.errors import HermesError

NULL_ROW = -1


class ContextBatch(NamedTuple):
    """Which rows of the prior pools a batch uses.

    Attributes:
        task_index: (B, R) rows of the task pool; -1 (the pool's null row) pads cases with fewer tasks.
        modality_index: (B,) rows of the modality pool.
    """

    task_index: torch.Tensor
    modality_index: torch.Tensor

    @property
    def real_rows(self) -> torch.Tensor:
        """(B, R) whether a row stands for a task; False where it only pads."""
        return self.task_index != NULL_ROW

    def on(self, device: torch.device) -> "ContextBatch":
        """The same contexts on another device."""
        return ContextBatch(self.task_index.to(device), self.modality_index.to(device))

    def repeated(self, batch_size: int) -> "ContextBatch":
        """A single context for every case of a batch; contexts that already fit are returned as they are.

        Raises:
            ValueError: there are several contexts, but not one for each case.
        """
        present = self.task_index.shape[0]
        if present == batch_size:
            return self
        if present != 1:
            msg = f"the batch has {batch_size} cases, but {present} contexts were set"
            raise ValueError(msg)
        return ContextBatch(self.task_index.expand(batch_size, -1), self.modality_index.expand(batch_size))


class ContextIndexer:
    """Turns contexts into rows of the pools of one model."""

    def __init__(self, tasks: Sequence[str], modalities: Sequence[str]) -> None:
        self._task_row = {name: row for row, name in enumerate(tasks)}
        self._modality_row = {name: row for row, name in enumerate(modalities)}
        self.unknown_modality = self._modality_row[UNKNOWN_MODALITY]

    def __call__(self, contexts: Sequence[Context], rows: int | None = None) -> ContextBatch:
        """Index tensors of `contexts`, padded to `rows` tasks (default: the most that one of them has).

        Raises:
            HermesError: a task or modality is not one that the model knows.
        """
        rows = max(len(context.tasks) for context in contexts) if rows is None else rows
        task_index = torch.full((len(contexts), rows), NULL_ROW, dtype=torch.long)
        for case, context in enumerate(contexts):
            known = [self._row(self._task_row, task, "task") for task in context.tasks]
            task_index[case, : len(known)] = torch.tensor(known, dtype=torch.long)
        modality_index = torch.tensor([self._row(self._modality_row, c.modality, "modality") for c in contexts])
        return ContextBatch(task_index, modality_index)

    def in_pool_order(self, context: Context) -> ContextBatch:
        """One context with a row for every task of the pool, in the pool's order; tasks outside of it are padding."""
        batch = self([context])
        task_index = torch.full((1, len(self._task_row)), NULL_ROW, dtype=torch.long)
        task_index[0, batch.task_index[0]] = batch.task_index[0]
        return ContextBatch(task_index, batch.modality_index)

    @staticmethod
    def _row(rows: dict[str, int], name: str, kind: str) -> int:
        try:
            return rows[name]
        except KeyError:
            raise HermesError(f"the model does not know the {kind} '{name}': it knows {', '.join(rows)}") from None
