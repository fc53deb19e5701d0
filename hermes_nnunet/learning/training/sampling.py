"""How often each case is drawn, given the members' sampling weights."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from hermes_nnunet.collection import UNLABELLED_SHARE, Collection
from hermes_nnunet.core.paper.members import paper_members

SLOTS_PER_CASE = 50
# Of more cases, each is drawn a few times in a whole training: what counts then is how often its member is.
MANY_CASES = 5_000
SLOTS_OF_MANY = 8
# However rarely some cases are to be drawn.
MOST_SLOTS = 1_000_000


def case_probabilities(cases: Sequence[str], collection: Collection) -> np.ndarray:
    """Probability of each case: a member's share by its weight, divided evenly among its cases.

    Of a member of which some cases have labels, those without are drawn less often, by UNLABELLED_SHARE.
    """
    members = [collection.cases[case].member for case in cases]
    shares = _shares_within(cases, collection)
    sums: defaultdict[str, float] = defaultdict(float)
    for member, share in zip(members, shares, strict=True):
        sums[member] += share
    total = sum(collection.members[member].sampling_weight for member in sums)
    return np.array(
        [
            collection.members[member].sampling_weight / total / (sums[member] / share)
            for member, share in zip(members, shares, strict=True)
        ]
    )


def paper_weights(collection: Collection) -> dict[str, float] | None:
    """The paper's weight of a case by member; None where a member has none of the paper's names."""
    paper = paper_members().members
    if not collection.members.keys() <= paper.keys():
        return None
    return {name: paper[name].sampling_weight for name in collection.members}


def case_probabilities_by_weight(
    cases: Sequence[str], collection: Collection, weights: Mapping[str, float]
) -> np.ndarray:
    """Probability of each case, in proportion to the weight that `weights` gives to a case of its member."""
    of_cases = np.array([weights[collection.cases[case].member] for case in cases])
    of_cases = of_cases * _shares_within(cases, collection)
    return of_cases / of_cases.sum()


def _shares_within(cases: Sequence[str], collection: Collection) -> list[float]:
    """How often each case is drawn, beside others of its member."""
    labelled = set(collection.labelled(cases))
    return [1.0 if case in labelled else UNLABELLED_SHARE for case in cases]


def weighted_identifiers(cases: Sequence[str], probabilities: np.ndarray) -> np.ndarray:
    """Case names, each as often as it is to be drawn.

    nnU-Net's data loader draws uniformly from a data set's identifiers, which this turns into weighted sampling. Every
    case occurs. The share of a case, and of cases that follow each other as a member's do, is right to one slot; there
    are SLOTS_PER_CASE for each case (SLOTS_OF_MANY of more than MANY_CASES), and more where the rarest case would have
    less than one. Only where that takes more than MOST_SLOTS are the rarest cases drawn too often. A slot takes the 8
    bytes of a reference.
    """
    names = np.empty(len(cases), object)
    names[:] = [str(case) for case in cases]
    slots_per_case = SLOTS_PER_CASE if len(cases) <= MANY_CASES else SLOTS_OF_MANY
    total = max(slots_per_case * len(cases), min(1 / probabilities.min(), MOST_SLOTS))
    # Rounded together with those before, so that what one loses the next gets.
    ends = np.floor(np.cumsum(probabilities) * total + 0.5)
    return np.repeat(names, np.maximum(1, np.diff(ends, prepend=0)).astype(int))
