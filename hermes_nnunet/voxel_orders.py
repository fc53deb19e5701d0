"""Voxel orders: three letters that say where the indices i, j and k of an image grow to, as nibabel writes them."""

from itertools import permutations, product
from typing import NamedTuple

from hermes_nnunet.errors import HermesError

OUR_ORDER = "RAS"  # HermesImageIO
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


class Turn(NamedTuple):
    """How an array of an image in RAS becomes one of the same image in another order.

    Arrays have the axes (D, H, W), which are (k, j, i).

    Attributes:
        axes: for each axis of the other array the axis of the array in RAS that it is.
        flipped: axes of the other array that run the other way.
    """

    axes: tuple[int, ...] = (0, 1, 2)
    flipped: tuple[int, ...] = ()


UNTURNED = Turn()


def turn_of(voxel_order: str) -> Turn:
    """The turn from RAS to a voxel order.

    Raises:
        HermesError: the order has not one letter of each of R and L, A and P, S and I.
    """
    towards = [letter if letter in OUR_ORDER else OPPOSITE.get(letter, "") for letter in voxel_order]
    if sorted(towards) != sorted(OUR_ORDER):
        raise HermesError(
            f"voxel order '{voxel_order}': write one of R and L, one of A and P and one of S and I, in the order of "
            "the file's axes, for example LPS"
        )
    axes = tuple(2 - OUR_ORDER.index(letter) for letter in reversed(towards))
    flipped = tuple(axis for axis, letter in enumerate(reversed(voxel_order)) if letter not in OUR_ORDER)
    return Turn(axes, flipped)


def keeps_axes(voxel_order: str) -> bool:
    """Whether i runs from left to right or back, j from back to front or back, k from foot to head or back."""
    return turn_of(voxel_order).axes == UNTURNED.axes


def orders(*, of_other_axes: bool) -> list[str]:
    """The 8 orders that keep the axes; with `of_other_axes` all 48."""
    choices = [(letter, OPPOSITE[letter]) for letter in OUR_ORDER]
    axes = permutations(choices) if of_other_axes else [tuple(choices)]
    return ["".join(letters) for chosen in axes for letters in product(*chosen)]
