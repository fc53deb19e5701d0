"""A data loader that asks between the steps whether the training should go on."""

from collections.abc import Callable, Iterator
from typing import Any


class WatchedBatches:
    """The batches of a loader of nnU-Net.

    Attributes:
        loader: it.

    Args:
        before: called before a batch is drawn.
        drawn: called with the error that there was, or None, before the batch is handed out; it may raise.
    """

    def __init__(
        self, loader: Iterator[Any], before: Callable[[], None], drawn: Callable[[RuntimeError | None], None]
    ) -> None:
        self.loader = loader
        self._before = before
        self._drawn = drawn

    def __iter__(self) -> "WatchedBatches":
        return self

    def __next__(self) -> Any:
        self._before()
        try:
            batch = next(self.loader)
        except RuntimeError as error:  # what batchgenerators raises when one of its processes has died
            self._drawn(error)
            raise
        self._drawn(None)
        return batch


def unwatched(batches: Any) -> Any:
    """The loader itself, of batches that are watched or not."""
    return batches.loader if isinstance(batches, WatchedBatches) else batches
