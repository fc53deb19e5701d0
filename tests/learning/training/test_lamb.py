import sys
from types import ModuleType

import pytest
import torch
from timm.optim import Lamb as TimmLamb

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training import lamb

CPU = torch.device("cpu")
SETTINGS = {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-5, "weight_decay": 0.05}


class Idle(torch.optim.SGD):
    """Takes steps that change nothing."""

    def step(self, closure=None):
        pass


class Broken(torch.optim.SGD):
    """Fails as an extension that was built for another torch."""

    def step(self, closure=None):
        raise RuntimeError("no kernel image is available\nsecond line")


class TestChoice:
    @pytest.fixture
    def apex(self, monkeypatch):
        """A function that says what apex offers: a class, or an exception to raise."""

        def offers(what):
            def fused_lamb(device):
                if isinstance(what, Exception):
                    raise what
                return what

            monkeypatch.setattr(lamb, "_fused_lamb", fused_lamb)

        return offers

    def test_apexs_that_takes_a_step_is_used(self, apex):
        apex(torch.optim.SGD)
        assert lamb.working_lamb(CPU) == lamb.Lamb(torch.optim.SGD, "FusedLAMB of NVIDIA's apex")

    @pytest.mark.parametrize(
        ("offered", "reason"),
        [
            (ImportError("No module named 'apex'"), "No module named 'apex'"),
            (OSError("undefined symbol: _ZN3c10\nsecond line"), "undefined symbol: _ZN3c10"),
            (KeyError(), "KeyError"),
            (Broken, "no kernel image is available"),
            (Idle, "a step changes nothing"),
        ],
    )
    def test_without_it_timms_is_used_and_the_reason_told_in_one_line(self, apex, offered, reason):
        apex(offered)
        found = lamb.working_lamb(CPU)
        assert found.optimizer_class is TimmLamb
        assert found.description == f"timm's; FusedLAMB of NVIDIA's apex does not work here ({reason})"

    def test_apexs_is_not_tried_without_a_gpu(self):
        assert lamb.working_lamb(CPU).description.endswith("(no CUDA device)")

    def test_without_either_the_remedy_is_told(self, apex, monkeypatch):
        apex(Idle)
        monkeypatch.setattr("timm.optim.Lamb", Broken)
        with pytest.raises(HermesError, match=r"timm's \(no kernel.*apex's \(a step changes nothing\): run 'pip"):
            lamb.working_lamb(CPU)

    def test_apexs_takes_the_argument_that_nnunet_passes(self, monkeypatch):
        class FusedLAMB(TimmLamb):
            def zero_grad(self):
                super().zero_grad()

        optimizers = ModuleType("apex.optimizers")
        optimizers.FusedLAMB = FusedLAMB
        monkeypatch.setitem(sys.modules, "apex", ModuleType("apex"))
        monkeypatch.setitem(sys.modules, "apex.optimizers", optimizers)
        with pytest.raises(TypeError, match="set_to_none"):
            lamb._take_a_step(FusedLAMB, CPU)
        lamb._take_a_step(lamb._fused_lamb(torch.device("cuda")), CPU)


class TestMathematics:
    def test_timms_computes_what_apexs_kernels_do(self):
        generator = torch.Generator().manual_seed(0)
        shapes = [(4, 3), (5,), (2,)]
        values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        values[2].zero_()
        parameters = [torch.nn.Parameter(value.clone()) for value in values]
        optimizer = lamb.working_lamb(CPU).optimizer(parameters, **SETTINGS)
        moments = [(torch.zeros_like(value), torch.zeros_like(value)) for value in values]
        for step, size in enumerate((10, 0.01, 1), start=1):
            gradients = [torch.randn(shape, generator=generator, dtype=torch.float64) * size for shape in shapes]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().clamp(min=1)
            for value, gradient, (first, second) in zip(values, gradients, moments, strict=True):
                first.mul_(0.9).add_(gradient / norm, alpha=0.1)
                second.mul_(0.999).add_((gradient / norm) ** 2, alpha=0.001)
                update = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-5) + 0.05 * value
                trust = value.norm() / update.norm() if value.norm() > 0 else 1
                value.sub_(2e-3 * trust * update)
        for parameter, value in zip(parameters, values, strict=True):
            assert torch.allclose(parameter.detach(), value, rtol=1e-10, atol=0)

    def test_a_state_that_apexs_left_is_continued(self):
        parameter = torch.nn.Parameter(torch.ones(3))
        optimizer = lamb.working_lamb(CPU).optimizer([parameter], **SETTINGS)
        parameter.grad = torch.ones(3)
        optimizer.step()
        state = optimizer.state_dict()
        for name in ("trust_clip", "always_adapt", "caution", "decoupled_decay"):  # timm's own
            del state["param_groups"][0][name]
        other = lamb.working_lamb(CPU).optimizer([parameter], **SETTINGS)
        other.load_state_dict(state)
        other.step()
        assert other.param_groups[0]["step"] == 2
