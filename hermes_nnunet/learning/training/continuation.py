"""What a checkpoint holds beside nnU-Net's own entries, so that an interrupted training continues exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.errors import HermesError

CHECKPOINT_KEY = "hermes_continuation"
# 1 had no step_outputs: its checkpoints were those of whole epochs.
FORMAT_VERSION = 2
_READ_VERSIONS = (1, 2)


@dataclass(frozen=True)
class Continuation:
    """The state of a training that neither network nor optimizer knows.

    Attributes:
        random_states: of the random number generators, by rank.
        training_weights: the network's state where the checkpoint's network_weights are an average; None elsewhere.
        averaged_updates: number of optimizer steps that are in the average.
        step_outputs: by rank, what the training steps have returned that were done in the epoch to be continued; none
            in a checkpoint that was written between epochs.
    """

    random_states: list[dict[str, Any]] = field(repr=False)
    training_weights: dict[str, torch.Tensor] | None = field(default=None, repr=False)
    averaged_updates: int = 0
    step_outputs: list[list[dict[str, Any]]] = field(default_factory=list, repr=False)

    def to_entry(self) -> dict[str, Any]:
        """The entry of a checkpoint, under its key."""
        return {CHECKPOINT_KEY: {"format_version": FORMAT_VERSION, **vars(self)}}

    def outputs_of(self, rank: int, processes: int) -> list[dict[str, Any]]:
        """The outputs of a process's steps; where there were more or fewer processes, the mean over all of them."""
        if len(self.step_outputs) in (0, processes):
            return list(self.step_outputs[rank]) if self.step_outputs else []
        return [_mean(step) for step in zip(*self.step_outputs, strict=True)]

    @classmethod
    def read(cls, checkpoint: Path) -> "Continuation | None":
        """Read it from a checkpoint file; None where there is none, as in imported weights.

        Raises:
            HermesError: the file is missing or damaged, holds more than tensors and numbers, or this is of another
                format version.
        """
        content = read_checkpoint(checkpoint).get(CHECKPOINT_KEY)
        if content is None:
            return None
        version = content.pop("format_version", None)
        if version not in _READ_VERSIONS:
            raise HermesError(
                f"{checkpoint} has a {CHECKPOINT_KEY} of format version {version}, this release reads "
                f"{' and '.join(map(str, _READ_VERSIONS))}: continue with the release of hermes_nnunet that began the "
                f"training"
            )
        return cls(**content)


def _mean(outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.mean([output[name] for output in outputs], axis=0) for name in outputs[0]}
