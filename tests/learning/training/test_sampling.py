from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hermes_nnunet.collection import Case, Collection
from hermes_nnunet.learning.training.sampling import (
    case_probabilities,
    case_probabilities_by_weight,
    paper_weights,
    weighted_identifiers,
)


def with_cases(collection, counts, weights):
    members = {
        name: replace(member, sampling_weight=weight)
        for (name, member), weight in zip(collection.members.items(), weights, strict=True)
    }
    cases = {
        f"{name}__{i}": Case(name, "CT", str(i))
        for name, count in zip(members, counts, strict=True)
        for i in range(count)
    }
    return Collection(collection.tasks, collection.modalities, members, cases)


def test_a_members_share_is_its_weight_divided_among_its_cases(collection):
    probabilities = case_probabilities(list(collection.cases), collection)  # weights 3 and 1, cases 3 and 2
    assert probabilities == pytest.approx([0.25, 0.25, 0.25, 0.125, 0.125])


def test_members_without_a_case_in_the_fold_take_no_share(collection):
    assert case_probabilities(["abdomen__a", "abdomen__b"], collection) == pytest.approx([0.5, 0.5])


@given(
    counts=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    weights=st.tuples(st.floats(0.5, 10), st.floats(0.5, 10)),
)
def test_identifiers_occur_as_often_as_their_weight_says(counts, weights):
    collection = with_cases(_two_members(), counts, weights)
    cases = list(collection.cases)
    expected = case_probabilities(cases, collection)
    drawn = weighted_identifiers(cases, expected)
    assert set(drawn) == set(cases)
    shares = np.array([(drawn == case).mean() for case in cases])
    # half a slot of rounding, and at least one slot for each case
    assert np.abs(shares - expected).max() < 2 / (50 * len(cases)) + 0.02 * expected.max()


@settings(deadline=None)
@given(
    counts=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    weights=st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)),
)
@example(counts=(9_262, 1_200), weights=(1, 20))
def test_members_are_drawn_as_often_as_their_weights_say(counts, weights):
    """Also one of which most cases are drawn far less often than others."""
    shares = np.array(weights) / sum(weights)
    cases = [f"{member}__{case}" for member in (0, 1) for case in range(counts[member])]
    drawn = weighted_identifiers(cases, np.repeat(shares / counts, counts))
    first = sum(name.startswith("0") for name in drawn)
    assert first == pytest.approx(shares[0] * len(drawn), abs=2)


def test_cases_that_are_drawn_hardly_ever_take_no_more_than_a_case_has_to(monkeypatch):
    monkeypatch.setattr("hermes_nnunet.learning.training.sampling.MOST_SLOTS", 1_000)
    drawn = weighted_identifiers(["often", "never"], np.array([1 - 1e-9, 1e-9]))
    assert sorted(drawn) == ["never", *["often"] * 1_000]


class TestPaper:
    def test_a_weight_is_that_of_a_case_however_many_the_member_has(self):
        collection = with_cases(_two_members("bcv", "autopet"), (2, 5), (1, 1))
        weights = paper_weights(collection)
        assert weights == {"bcv": 1.5, "autopet": 0.1}
        probabilities = case_probabilities_by_weight(list(collection.cases), collection, weights)
        assert probabilities == pytest.approx([1.5 / 3.5] * 2 + [0.1 / 3.5] * 5)

    def test_there_are_none_where_a_member_is_not_of_the_paper(self):
        assert paper_weights(_two_members("bcv", "mine")) is None


def _two_members(*names):
    from hermes_nnunet.collection import Member

    members = {
        name: Member(name, f"Dataset001_{name}", (), {}, None, {"CT": None}, {"0": "CT"}, ".nii.gz", 1.0)
        for name in names or ("first", "second")
    }
    return Collection((), ("CT", "unknown"), members, {})


class TestManyCases:
    COUNTS = (9_000, 2_990, 10)

    def test_take_less_than_100_bytes_each(self):
        cases, probabilities = self.cases()
        assert weighted_identifiers(cases, probabilities).nbytes < 100 * len(cases)

    def test_are_drawn_as_often_as_their_members_weights_say(self):
        cases, probabilities = self.cases()
        drawn, slots = np.unique(weighted_identifiers(cases, probabilities).astype(str), return_counts=True)
        assert list(drawn) == sorted(cases)
        shares = slots / slots.sum()
        member = 0
        for count in self.COUNTS:
            own = slice(member, member + count)
            # A case with less than a slot has one all the same.
            assert shares[own].sum() == pytest.approx(probabilities[own].sum(), rel=0.01)
            assert np.ptp(slots[own]) <= 1
            member += count

    def cases(self):
        cases = [f"member{member}__{case:06}" for member, count in enumerate(self.COUNTS) for case in range(count)]
        shares = np.sqrt(self.COUNTS)
        of_case = shares / shares.sum() / self.COUNTS
        return cases, np.repeat(of_case, self.COUNTS)
