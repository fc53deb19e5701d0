"""A data set that announces each case, for the context of the final validation and for augmentation by case."""

from collections.abc import Callable
from typing import Any


class LastCase:
    """The name of the case that a data set has loaded last: what announces it calls this."""

    name = ""

    def __call__(self, case: str) -> None:
        self.name = case


def announcing_dataset_class(dataset_class: type, announce: Callable[[str], None]) -> type:
    """Subclass of an nnU-Net data set class whose load_case calls `announce` with the case's name first."""

    class AnnouncingDataset(dataset_class):
        def load_case(self, identifier: str) -> tuple[Any, ...]:
            announce(identifier)
            return super().load_case(identifier)

        def __reduce__(self) -> tuple[Any, ...]:
            # A class that is made here has no name by which a process of its own could find it.
            return _restored, (dataset_class, announce, self.__dict__)

    return AnnouncingDataset


def _restored(dataset_class: type, announce: Callable[[str], None], state: dict[str, Any]) -> Any:
    announcing = announcing_dataset_class(dataset_class, announce)
    dataset: Any = object.__new__(announcing)
    dataset.__dict__.update(state)
    return dataset
