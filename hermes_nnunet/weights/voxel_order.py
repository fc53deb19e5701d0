"""Weights trained on another voxel order than nnU-Net's reader gives, turned so that they fit.

A network whose kernels are flipped does to a flipped image what the network did to the image, and the flip of it.
"""

from collections.abc import Mapping, Sequence

import torch

from hermes_nnunet.errors import HermesError

OUR_ORDER = "RAS"  # HermesImageIO
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
SUB_LATTICE_SUFFIXES = ("first_stage.0.reduce.", "patch_merging.reduce.")


def flipped_axes(voxel_order: str) -> tuple[int, ...]:
    """Spatial axes (0 depth, 1 height, 2 width) that differ between a voxel order and RAS.

    The letters of the order say where the indices of x, y and z grow to, as nibabel writes it.

    Raises:
        HermesError: the order is not made of R or L, A or P, S or I.
    """
    if len(voxel_order) != 3 or any(
        letter not in (own, OPPOSITE[own]) for letter, own in zip(voxel_order, OUR_ORDER, strict=False)
    ):
        raise HermesError(f"voxel order '{voxel_order}': write R or L, then A or P, then S or I, for example LPS")
    # x is the last axis of an array
    return tuple(sorted(2 - axis for axis in range(3) if voxel_order[axis] != OUR_ORDER[axis]))


def flip_kernels(state: Mapping[str, torch.Tensor], axes: Sequence[int]) -> dict[str, torch.Tensor]:
    """State of a network of the paper that works on images flipped along `axes`; sides must be multiples of 16."""
    flipped = {}
    for name, tensor in state.items():
        if tensor.ndim == 5:  # the kernel of a convolution
            tensor = tensor.flip([axis + 2 for axis in axes])
        if any(part in name for part in SUB_LATTICE_SUFFIXES):
            tensor = _swap_sub_lattices(tensor, 0 if name.endswith("reduce.0.weight") else 1, axes)
        flipped[name] = tensor
    return flipped


def _swap_sub_lattices(kernel: torch.Tensor, channel_axis: int, axes: Sequence[int]) -> torch.Tensor:
    """Reorder the channels of patch merging, where a channel is (offset in D, in H, in W, channel)."""
    sub_lattices = kernel.unflatten(channel_axis, (2, 2, 2, -1))
    return sub_lattices.flip([channel_axis + axis for axis in axes]).flatten(channel_axis, channel_axis + 3)
