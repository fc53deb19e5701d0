import math
import warnings

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from hermes_nnunet.learning.training.schedule import PolynomialSchedule, lr_factor


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


class TestSchedule:
    def test_keeps_each_groups_share_without_a_warning(self):
        first, second = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
        optimizer = torch.optim.SGD([{"params": [first], "lr": 2e-3}, {"params": [second], "lr": 2e-4}])
        schedule = PolynomialSchedule(optimizer, epochs=200, warm_up_epochs=5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            schedule.step(4)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [2e-3 * math.exp(-2), 2e-4 * math.exp(-2)]
        )

    def test_without_warm_up_is_nnunets(self):
        optimizer, nnunets = (torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01) for _ in range(2))
        schedule, reference = PolynomialSchedule(optimizer, epochs=20), PolyLRScheduler(nnunets, 0.01, 20)
        for epoch in range(20):
            schedule.step(epoch)
            reference.step(epoch)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(nnunets.param_groups[0]["lr"])
