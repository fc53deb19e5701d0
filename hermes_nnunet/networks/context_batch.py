"""Contexts of a batch as index tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hermes_nnunet.additions import AddedMember, modality_rows
from hermes_nnunet.collection import UNKNOWN_MODALITY, Context
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.voxel_orders import OUR_ORDER, UNTURNED, Turn, turn_of

NULL_ROW = -1


class ContextBatch(NamedTuple):
    """Which rows of the prior pools a batch uses.

    Attributes:
        task_index: (B, R) rows of the task pool; -1 (the pool's null row) pads cases with fewer tasks.
        modality_index: (B,) rows of the modality pool.
        channel_rows: (T,) which of the R rows each output channel of a prediction shows, -1 where it shows none; None
            where every row has a channel. The network runs no more rows than the context has tasks, however many
            channels are asked for.
        negatives: (B, E, V) in training, where the last E of the R rows are extra tasks, which the case's member does
            not annotate: whether a voxel of each of the label values 0 to V - 1 is known not to belong to the task.
            None without extra tasks.
        true_modality: (B,) rows of the modality pool that the modality head is to find, where the network is told
            another of some of the images; None where it is told the truth.
        turn: voxel order in which the network sees the images, in relation to that in which they come.
        addition: number of the addition whose tasks these are, None for tasks of the base.
        more: contexts that the same images are run with too, for channels that this one leaves empty. Prediction only.
    """

    task_index: torch.Tensor
    modality_index: torch.Tensor
    channel_rows: torch.Tensor | None = None
    negatives: torch.Tensor | None = None
    true_modality: torch.Tensor | None = None
    turn: Turn = UNTURNED
    addition: int | None = None
    more: tuple["ContextBatch", ...] = ()

    @property
    def real_rows(self) -> torch.Tensor:
        """(B, R) whether a row stands for a task; False where it only pads."""
        return self.task_index != NULL_ROW

    @property
    def own_rows(self) -> int:
        """Number of rows before those of the extra tasks."""
        return self.task_index.shape[1] - (0 if self.negatives is None else self.negatives.shape[1])

    def with_extra_tasks(self, task_index: torch.Tensor, negatives: torch.Tensor) -> "ContextBatch":
        """The same contexts with extra tasks (B, E) behind their own; `negatives` (B, E, V) as above."""
        return self._replace(task_index=torch.cat((self.task_index, task_index), dim=1), negatives=negatives)

    # The next two run inside compiled networks too, where `_replace` gives an empty tuple with PyTorch 2.11.

    def on(self, device: torch.device) -> "ContextBatch":
        """The same contexts on another device."""
        return ContextBatch(
            self.task_index.to(device),
            self.modality_index.to(device),
            None if self.channel_rows is None else self.channel_rows.to(device),
            None if self.negatives is None else self.negatives.to(device),
            None if self.true_modality is None else self.true_modality.to(device),
            self.turn,
            self.addition,
            tuple(other.on(device) for other in self.more),
        )

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
        return ContextBatch(
            self.task_index.expand(batch_size, -1),
            self.modality_index.expand(batch_size),
            self.channel_rows,
            None if self.negatives is None else self.negatives.expand(batch_size, -1, -1),
            None if self.true_modality is None else self.true_modality.expand(batch_size),
            self.turn,
            self.addition,
            tuple(other.repeated(batch_size) for other in self.more),
        )

    def in_channels(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What rows (B, R, ...) have, for the channels of a prediction (B, T, ...); which show a task, (B or 1, T)."""
        if self.channel_rows is None:
            return rows, self.real_rows
        return rows[:, self.channel_rows.clamp(min=0)], (self.channel_rows >= 0)[None]


class ContextualLayer:
    """A layer inside a network that is told the contexts of every batch, too."""

    def tell(self, context: ContextBatch) -> None:
        """Take what the layer needs of the contexts of the following batches."""
        raise NotImplementedError


class ContextIndexer:
    """Turns contexts into rows of the pools of one model.

    Args:
        tasks: names of the rows of the task pool.
        modalities: names of the modalities, "unknown" last.
        additions: what additions have brought into the model; see `modality_rows` for their modalities.
        voxel_order: in which the network sees the images in training, which come in RAS.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        modalities: Sequence[str],
        additions: Sequence[AddedMember] = (),
        voxel_order: str = OUR_ORDER,
    ) -> None:
        self._task_row = {name: row for row, name in enumerate(tasks)}
        self._modalities = tuple(modalities)
        self._modality_row = {owned: row for row, owned in enumerate(modality_rows(modalities, additions))}
        self._additions = tuple(additions)
        self._owner = {task: number for number, addition in enumerate(additions) for task in addition.tasks}
        # Images without labels are told no task. Where an addition is trained, all that there are are its own.
        owners = {self._owner.get(task) for task in tasks}
        self._owner_of_no_tasks = owners.pop() if len(owners) == 1 else None
        self._turn = turn_of(voxel_order)
        self.unknown_modality = self._modality_row[None, UNKNOWN_MODALITY]

    @classmethod
    def of_plans(cls, plans: HermesPlans) -> "ContextIndexer":
        """For the model that the plans describe."""
        return cls(plans.tasks, plans.modalities, plans.additions, plans.voxel_order)

    def __call__(self, contexts: Sequence[Context], rows: int | None = None) -> ContextBatch:
        """Index tensors of `contexts`, padded to `rows` tasks (default: the most that one of them has).

        Raises:
            HermesError: a task or modality is not one that the model knows.
            ValueError: the tasks are not all of the base, or all of one addition.
        """
        rows = max(len(context.tasks) for context in contexts) if rows is None else rows
        task_index = torch.full((len(contexts), rows), NULL_ROW, dtype=torch.long)
        for case, context in enumerate(contexts):
            known = [self._known(self._task_row, task, "task") for task in context.tasks]
            task_index[case, : len(known)] = torch.tensor(known, dtype=torch.long)
        owners = {self._owner.get(task) for context in contexts for task in context.tasks} or {self._owner_of_no_tasks}
        if len(owners) > 1:
            msg = "a batch is run with tasks of the base, or of one addition"
            raise ValueError(msg)
        (addition,) = owners
        modality_index = torch.tensor([self._row_of_modality(context.modality, addition) for context in contexts])
        return ContextBatch(task_index, modality_index, turn=self._turn, addition=addition)

    def for_prediction(
        self,
        context: Context,
        *,
        shown: Sequence[str] | None = None,
        rows: int | None = None,
        voxel_order: str = OUR_ORDER,
    ) -> ContextBatch:
        """One context, and the output channels that its prediction has.

        Args:
            context: the tasks and modality that the network is told.
            shown: task of each output channel, default: those of the context; channels of other tasks stay empty.
            rows: pad the context to as many rows; one with more tasks is not padded.
            voxel_order: in which the network is to see the image, which comes in RAS.
        """
        batch = self([context], rows=max(rows or 0, len(context.tasks)))
        row_of = {task: row for row, task in enumerate(context.tasks)}
        channel_rows = [row_of.get(task, NULL_ROW) for task in (context.tasks if shown is None else shown)]
        return batch._replace(channel_rows=torch.tensor(channel_rows, dtype=torch.long), turn=turn_of(voxel_order))

    def _row_of_modality(self, modality: str, addition: int | None) -> int:
        self._known(dict.fromkeys(self._modalities, 0), modality, "modality")
        owner = None if addition is None else self._additions[addition].member
        row = self._modality_row.get((owner, modality), self._modality_row.get((None, modality)))
        # What only another addition knows.
        return self.unknown_modality if row is None else row

    @staticmethod
    def _known(rows: dict[str, int], name: str, kind: str) -> int:
        try:
            return rows[name]
        except KeyError:
            raise HermesError(f"the model does not know the {kind} '{name}': it knows {', '.join(rows)}") from None
