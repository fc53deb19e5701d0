import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.evenly import evenly_chosen


def test_first_middle_and_last():
    assert evenly_chosen("abcde", 3) == ["a", "c", "e"]


def test_no_more_than_there_are():
    assert evenly_chosen("ab", 5) == ["a", "b"]
    assert evenly_chosen("", 5) == evenly_chosen("ab", 0) == evenly_chosen("ab", -1) == []


@given(length=st.integers(0, 400), most=st.integers(0, 450))
def test_each_once_in_their_order_at_even_distances(length, most):
    places = evenly_chosen(range(length), most)
    assert len(places) == min(length, most)
    distances = np.diff(places)
    assert len(distances) == 0 or (distances.min() >= 1 and distances.max() - distances.min() <= 1)
