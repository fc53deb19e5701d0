import math
import warnings

import pytest
import torch

from hermes_nnunet.training.schedule import PaperSchedule, lr_factor


class TestFactor:
    def test_warms_up_exponentially_to_one(self):
        assert [lr_factor(epoch, 200, 5) for epoch in range(6)] == pytest.approx(
            [math.exp(-10), math.exp(-8), math.exp(-6), math.exp(-4), math.exp(-2), 1]
        )

    def test_then_falls_polynomially_to_almost_nothing(self):
        assert lr_factor(6, 200, 5) == pytest.approx(0.97296, abs=1e-5)
        assert lr_factor(100, 200, 5) == pytest.approx(0.5**0.9)
        assert lr_factor(199, 200, 5) == pytest.approx(0.005**0.9)

    def test_without_warm_up_begins_at_one(self):
        assert [lr_factor(epoch, 200, 0) for epoch in (0, 1)] == pytest.approx([1, 0.995**0.9])


def test_schedule_sets_every_groups_rate_without_a_warning():
    first, second = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1)
    schedule = PaperSchedule(optimizer, 2e-3, epochs=200, warm_up_epochs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step(4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([2e-3 * math.exp(-2)] * 2)
