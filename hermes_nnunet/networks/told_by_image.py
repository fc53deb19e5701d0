"""Contexts that each image tells the network itself, by a channel of its own.

nnU-Net's predictor preprocesses images in other processes than the network runs in, and hands over nothing but voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hermes_nnunet.networks.context_batch import ContextBatch


@dataclass(frozen=True)
class ToldByImage:
    """The contexts to choose from.

    Attributes:
        contexts: by number of the modality.
        unmarked: that of an image without a mark.
        image_channels: channels of an image without a mark.
    """

    contexts: Sequence[ContextBatch]
    unmarked: ContextBatch
    image_channels: int

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ContextBatch]:
        """Patches (B, channels, D, H, W) of one image without their mark, and its context."""
        if x.shape[1] == self.image_channels:
            return x, self.unmarked
        # nnU-Net pads small images with zeros.
        number = round(float(x[:, self.image_channels].amax())) - 1
        return x[:, : self.image_channels], self.contexts[number]


def with_mark(image: np.ndarray, number: int) -> np.ndarray:
    """An image (channels, D, H, W) with one channel more that tells the number of its modality."""
    return np.concatenate([image, np.full_like(image[:1], number + 1)])
