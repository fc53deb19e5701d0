"""The context of each case of the final validation, and a data set that announces its cases."""

from collections.abc import Callable
from typing import Any

from hermes_nnunet.collection import Collection, Context
from hermes_nnunet.networks.build import prediction_context
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.plans import HermesPlans

# In place of a task that a case does not annotate: its channel stays empty.
_NOT_SHOWN = ""


class LastCase:
    """The name of the case that a data set has loaded last: what announces it calls this."""

    name = ""

    def __call__(self, case: str) -> None:
        self.name = case


def validation_context(
    network: ContextualNetwork, plans: HermesPlans, collection: Collection, case: str
) -> ContextBatch:
    """What the network is told of a case in the final validation, with a channel for each task of the pool.

    It is told all tasks of the case's member, as at prediction, but shows only what the case annotates: what it finds
    of the others is neither right nor wrong, and so no file that nnU-Net evaluates holds it.
    """
    entry = collection.cases[case]
    annotated = collection.context_of(case).tasks
    shown = [task if task in annotated else _NOT_SHOWN for task in plans.tasks]
    context = Context(collection.members[entry.member].tasks, entry.modality)
    return prediction_context(network, plans, context, shown)


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
