"""Loss, pseudo Dice and modality accuracy of every epoch, by member, in a file beside the checkpoints."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.learning.distributed.averaging import number_of_processes
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.networks.output import HermesOutput
from hermes_nnunet.schema import OURS, Number, Text, Whole, versioned

FORMAT_VERSION = 1
FILE_NAME = "learning_curves.json"
_DIGITS = 6


@dataclass(frozen=True)
class MemberEpoch:
    """A member's validation patches in one epoch; None where nothing defines a value.

    Attributes:
        patches: how many there were.
        loss: mean over patches of the segmentation loss.
        modality_accuracy: share of the patches of known modality whose modality the network told.
    """

    patches: Whole
    loss: Number | None
    modality_accuracy: Number | None

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class Epoch:
    """One epoch; `dice` is the pseudo Dice of each task, over all members that annotate it."""

    epoch: Whole
    learning_rate: Number
    train_loss: Number | None
    validation_loss: Number | None
    dice: Mapping[Text, Number | None]
    members: Mapping[Text, MemberEpoch]

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class _File:
    epochs: list[Epoch]
    versions: dict[Text, Text]

    __pydantic_config__ = OURS


@dataclass
class LearningCurves:
    """The epochs of one fold, and the versions of the packages that the training was started with last."""

    epochs: list[Epoch] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=package_versions)

    @classmethod
    def read(cls, path: Path) -> "LearningCurves":
        """Read a file that `write` made.

        Raises:
            HermesError: the file is missing, damaged or of another format version.
        """
        remedy = "delete it, the curves then begin with the next epoch"
        content = versioned(_File, read_json(path, remedy), FORMAT_VERSION, str(path), remedy)
        return cls(content.epochs, content.versions)

    @classmethod
    def continued(cls, path: Path, epoch: int) -> "LearningCurves":
        """Curves of a training that goes on with `epoch`: what came before, if the file is there, and nothing later."""
        if epoch == 0 or not path.is_file():
            return cls()
        return cls([entry for entry in cls.read(path).epochs if entry.epoch < epoch])

    def add(
        self,
        epoch: int,
        learning_rate: float,
        train_loss: float,
        validation_loss: float,
        dice: Mapping[str, float],
        sums: np.ndarray,
        members: Sequence[str],
    ) -> None:
        """Add an epoch; `dice` by task, `sums` (members, 4) of all its validation batches."""
        by_member = {
            name: MemberEpoch(int(patches), _share(loss, patches), _share(told, known))
            for name, (patches, loss, known, told) in zip(members, sums.tolist(), strict=True)
        }
        self.epochs.append(Epoch(epoch, learning_rate, train_loss, validation_loss, dice, by_member))

    def write(self, path: Path) -> None:
        """Write all epochs, atomically."""
        content = {
            "format_version": FORMAT_VERSION,
            "versions": self.versions,
            "epochs": [_rounded(asdict(epoch)) for epoch in self.epochs],
        }
        write_json(content, path)


@torch.no_grad()
def member_sums(
    loss: HermesLoss,
    output: HermesOutput,
    target: Sequence[torch.Tensor],
    cases: Sequence[str],
    collection: Collection,
) -> np.ndarray:
    """Patches, loss, patches of known modality, and those whose modality was told: (members, 4), summed over a batch.

    Args:
        loss: that of the training.
        output: of a batch of B cases.
        target: label map (B, 1, D, H, W) at each output's resolution.
        cases: names of the B cases.
        collection: which members they belong to.
    """
    _, known = loss.modality_terms(output.modality_logits, output.context.modality_index)
    told = known & (output.modality_logits.argmax(1) == output.context.modality_index)
    losses = _case_losses(loss, output, target)
    row_of = {name: row for row, name in enumerate(collection.members)}
    sums = np.zeros((len(row_of), 4))
    for case, *values in zip(cases, losses.tolist(), known.tolist(), told.tolist(), strict=True):
        sums[row_of[collection.cases[str(case)].member]] += (1, *values)
    return sums


def summed_over_processes(sums: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of the batches' `member_sums`, of all processes of a distributed training, which call this together."""
    total = np.sum(sums, axis=0)
    if number_of_processes() > 1:
        gathered: list[Any] = [None] * number_of_processes()
        torch.distributed.all_gather_object(gathered, total)
        total = np.sum(gathered, axis=0)
    return total


def _case_losses(loss: HermesLoss, output: HermesOutput, target: Sequence[torch.Tensor]) -> torch.Tensor:
    """Segmentation loss (B,) of each case as if it were alone in the batch; no process waits for another."""
    losses = torch.zeros(len(output.modality_logits), device=output.modality_logits.device)
    for weight, logits, labels in zip(loss.scale_weights, output.logits, target, strict=False):
        values, counting = loss.segmentation_terms(logits, labels, output.context.task_index)
        losses += weight * (values * counting).sum(1) / counting.sum(1).clamp(min=1)
    return losses


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _rounded(content: Any) -> Any:
    """The same content as JSON can hold it: fewer digits, and None for what is not a number."""
    if isinstance(content, Mapping):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, float | np.floating):
        return round(float(content), _DIGITS) if math.isfinite(content) else None
    return content
