"""How often each case is drawn, given the members' sampling weights."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hermes_nnunet.collection import Collection

SLOTS_PER_CASE = 50


def case_probabilities(cases: Sequence[str], collection: Collection) -> np.ndarray:
    """Probability of each case: a member's share by its weight, divided evenly among its cases."""
    members = [collection.cases[case].member for case in cases]
    count = Counter(members)
    total = sum(collection.members[member].sampling_weight for member in count)
    return np.array([collection.members[member].sampling_weight / total / count[member] for member in members])


def weighted_identifiers(cases: Sequence[str], collection: Collection) -> np.ndarray:
    """Case names, each as often as it is to be drawn.

    nnU-Net's data loader draws uniformly from a data set's identifiers, which this turns into weighted sampling. Every
    case occurs; the shares are right to about one part in 50.
    """
    slots = case_probabilities(cases, collection) * SLOTS_PER_CASE * len(cases)
    return np.repeat(np.asarray(cases), np.maximum(1, np.round(slots)).astype(int))
