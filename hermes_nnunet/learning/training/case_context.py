"""A data set that announces each case, so that the final validation can tell the network its context."""

from collections.abc import Callable
from typing import Any


def announcing_dataset_class(dataset_class: type, announce: Callable[[str], None]) -> type:
    """Subclass of an nnU-Net data set class whose load_case calls `announce` with the case's name first."""

    class AnnouncingDataset(dataset_class):
        def load_case(self, identifier: str) -> tuple[Any, ...]:
            announce(identifier)
            return super().load_case(identifier)

    return AnnouncingDataset
