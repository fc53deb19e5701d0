"""What a checkpoint holds beside nnU-Net's own entries, so that an interrupted training continues exactly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.errors import HermesError

CHECKPOINT_KEY = "hermes_continuation"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Continuation:
    """The state of a training that neither network nor optimizer knows.

    Attributes:
        random_states: of the random number generators, by rank.
        training_weights: the network's state where the checkpoint's network_weights are an average; None elsewhere.
        averaged_updates: number of optimizer steps that are in the average.
    """

    random_states: list[dict[str, Any]] = field(repr=False)
    training_weights: dict[str, torch.Tensor] | None = field(default=None, repr=False)
    averaged_updates: int = 0

    def to_entry(self) -> dict[str, Any]:
        """The entry of a checkpoint, under its key."""
        return {CHECKPOINT_KEY: {"format_version": FORMAT_VERSION, **vars(self)}}

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
        if version != FORMAT_VERSION:
            raise HermesError(
                f"{checkpoint} has a {CHECKPOINT_KEY} of format version {version}, this release reads "
                f"{FORMAT_VERSION}: continue with the release of hermes_nnunet that began the training"
            )
        return cls(**content)
