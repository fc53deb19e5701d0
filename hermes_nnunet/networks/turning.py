"""Images that the network sees in another voxel order than RAS, and its logits on the way back."""

import torch

from hermes_nnunet.voxel_orders import UNTURNED, Turn


def turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """(B, C, D, H, W) in RAS -> the same in the order of `turn`."""
    if turn == UNTURNED:
        return x
    x = x.permute(0, 1, *(axis + 2 for axis in turn.axes))
    return x.flip([axis + 2 for axis in turn.flipped]).contiguous()


def turned_back(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """The inverse of `turned`."""
    if turn == UNTURNED:
        return x
    x = x.flip([axis + 2 for axis in turn.flipped])
    return x.permute(0, 1, *(turn.axes.index(axis) + 2 for axis in range(3)))
