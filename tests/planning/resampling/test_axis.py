import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from hermes_nnunet.planning.resampling.axis import Axis

SIZES = st.integers(1, 90)


def resampled(axis, values, target):
    return axis.resample(values[axis.source(target)], 0, target)


class TestResample:
    @given(SIZES, SIZES)
    def test_linear_is_that_of_torch(self, source, target):
        values = torch.randn(source, generator=torch.Generator().manual_seed(source))
        ours = resampled(Axis.linear(source, target), values, slice(0, target))
        assert torch.allclose(ours, F.interpolate(values[None, None], target, mode="linear")[0, 0], atol=1e-4)

    @given(SIZES, SIZES)
    def test_nearest_is_that_of_torch(self, source, target):
        values = torch.arange(source, dtype=torch.float32)
        ours = resampled(Axis.nearest(source, target), values, slice(0, target))
        assert torch.equal(ours, F.interpolate(values[None, None], target, mode="nearest-exact")[0, 0])

    @given(SIZES, SIZES, st.data())
    def test_a_part_needs_only_its_own_source(self, source, target, data):
        start = data.draw(st.integers(0, target - 1))
        part = slice(start, data.draw(st.integers(start + 1, target)))
        values, axis = torch.randn(source), Axis.linear(source, target)
        whole = resampled(axis, values, slice(0, target))
        assert torch.allclose(resampled(axis, values, part), whole[part], atol=1e-6)


class TestReachedFrom:
    def test_voxels_beside_a_true_one(self):
        # centres at -0.25, 0.25, ..., 7.25: the third of the source, at 2, reaches 1.25 to 2.75
        assert Axis.linear(8, 16).reached_from(np.arange(8) == 2) == slice(3, 7)

    def test_none_where_all_are_false(self):
        assert Axis.linear(8, 16).reached_from(np.zeros(8, bool)) is None
