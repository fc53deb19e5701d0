"""A few of many, so that they stand for all."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_chosen(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly over their order, the first and the last among them where there are two."""
    places = np.linspace(0, len(items) - 1, max(0, min(len(items), most))).astype(int)
    return [items[place] for place in places]
