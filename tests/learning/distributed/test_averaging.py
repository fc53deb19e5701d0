import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.learning.distributed.averaging import batch_means, group_means


class TestOneProcess:
    def test_means_are_of_what_counts(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 100.0]])
        counting = torch.tensor([[True, True], [True, False]])
        pair, single = batch_means([(values, counting), (values[0], counting[0])])
        assert pair.item() == 2
        assert single.item() == 1.5

    def test_nothing_that_counts_gives_nought_and_stays_in_the_graph(self):
        values = torch.ones(3, requires_grad=True)
        (mean,) = batch_means([(values, torch.zeros(3, dtype=torch.bool))])
        mean.backward()
        assert mean.item() == 0
        assert values.grad.tolist() == [0, 0, 0]


class TestGroups:
    def test_means_are_of_each_group_and_then_of_the_groups(self):
        values = torch.tensor([[1.0, 100.0], [2.0, 3.0], [10.0, 100.0], [20.0, 100.0], [4.0, 8.0]])
        counting = torch.tensor([[True, False], [True, True], [True, False], [False, False], [True, True]])
        (mean,) = group_means([(values, counting)], 2)
        assert mean.item() == pytest.approx((2 + 10 + 6) / 3)

    def test_a_group_in_which_nothing_counts_is_nought_and_stays_in_the_graph(self):
        values = torch.ones(4, requires_grad=True)
        (mean,) = group_means([(values, torch.tensor([True, True, False, False]))], 2)
        mean.backward()
        assert mean.item() == 0.5
        assert values.grad.tolist() == [0.25, 0.25, 0, 0]

    @given(st.integers(1, 7), st.integers(1, 4))
    def test_one_group_of_all_cases_is_the_mean_of_the_batch(self, cases, rows):
        generator = torch.Generator().manual_seed(cases + 10 * rows)
        values = torch.randn(cases, rows, generator=generator)
        counting = torch.rand(cases, rows, generator=generator) > 0.3
        (whole,) = batch_means([(values, counting)])
        (grouped,) = group_means([(values, counting)], cases)
        torch.testing.assert_close(grouped, whole)

    def test_processes_with_parts_of_a_batch_average_to_its_groups(self, monkeypatch):
        values, counting = torch.tensor([[1.0], [3.0], [5.0], [7.0], [9.0], [11.0]]), torch.ones(6, 1, dtype=torch.bool)
        (whole,) = group_means([(values, counting)], 2)
        averaging = "hermes_nnunet.learning.distributed.averaging"
        monkeypatch.setattr(f"{averaging}.number_of_processes", lambda: 2)
        monkeypatch.setattr(f"{averaging}.distributed.all_reduce", lambda groups: groups.fill_(3))
        parts = [group_means([(values[part], counting[part])], 2)[0] for part in (slice(0, 4), slice(4, 6))]
        assert sum(parts).item() / 2 == pytest.approx(whole.item())
