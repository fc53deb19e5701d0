import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.prediction.pseudo_labels.thresholds import ScoreCounts


def counts_of(inside, outside):
    counts = ScoreCounts()
    counts.add(np.array([*inside, *outside]), np.array([True] * len(inside) + [False] * len(outside)))
    return counts


class TestThresholds:
    def test_are_one_half_where_the_model_is_right(self):
        found = counts_of([1, 2, 3], [-1, -2]).thresholds(0.95)
        assert (found.present, found.absent) == pytest.approx((0, 0))
        assert (found.precision, found.recall, found.cases) == (1, 1, 1)

    def test_rise_above_what_is_wrong_and_fall_below_what_is_missed(self):
        found = counts_of([-2.05, *[5.05] * 9], [3.05, 1.05, -7]).thresholds(0.95)
        assert found.present == pytest.approx(3.1)
        assert found.absent == pytest.approx(-2.1)
        assert found.missed == 0
        assert found.precision == 1
        assert found.recall == pytest.approx(0.9)

    def test_a_low_probability_is_background_however_much_is_missed(self):
        found = counts_of([5, -11, -12], [-8]).thresholds(0.9)
        assert found.absent == pytest.approx(-2.2, abs=0.11)
        assert found.missed == pytest.approx(2 / 3)

    def test_are_none_where_the_task_is_never_found_surely(self):
        assert counts_of([1, 1], [1, 1, 1]).thresholds(0.9) is None
        assert counts_of([-1], []).thresholds(0.9) is None
        assert ScoreCounts().thresholds(0.9) is None

    def test_ignored_voxels_count_in_nothing(self):
        counts = ScoreCounts()
        counts.add(np.array([2.0, 3.0]), np.array([True, False]), np.array([True, False]))
        assert counts.thresholds(0.99).precision == 1

    def test_infinite_logits_are_certain_background(self):
        assert counts_of([1], [-np.inf, -100]).thresholds(0.9).present == pytest.approx(0)

    @given(
        inside=st.lists(st.floats(-15, 15), min_size=1, max_size=30),
        outside=st.lists(st.floats(-15, 15), max_size=30),
        confidence=st.sampled_from([0.5, 0.8, 0.95]),
    )
    def test_keep_what_they_promise(self, inside, outside, confidence):
        found = counts_of(inside, outside).thresholds(confidence)
        if found is None:
            return
        right = [logit for logit in inside if logit >= found.present - 1e-6]
        wrong = [logit for logit in outside if logit >= found.present + 1e-6]
        assert found.absent <= 1e-9 <= found.present + 1e-6
        assert len(right) / (len(right) + len(wrong)) >= confidence - 1e-9
        above = sum(logit >= found.absent - 1e-6 for logit in inside)
        low = found.absent <= np.log(1 / confidence - 1) + 0.1
        assert low or above >= confidence * len(inside) - 1e-9
