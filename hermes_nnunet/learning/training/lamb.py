"""The LAMB optimizer that works on this machine: FusedLAMB of NVIDIA's apex, else timm's.

With the same lr, betas, eps and one weight decay above 0 for all parameters the two compute the same but for rounding,
by options that are the defaults of both: gradients are divided by their global norm where it is above 1; the first
moment takes (1 - beta1) of a gradient; both moments are bias-corrected, and eps is added outside the root; the weight
decay is added to the update before the update's norm is taken, for one-dimensional parameters too (timm's
create_optimizer would exempt those); the trust ratio is not clipped, and is 1 where a norm is 0.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from hermes_nnunet.errors import HermesError

OptimizerClass: TypeAlias = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Lamb:
    """An optimizer class that was tried, and one line about which it is and why."""

    optimizer_class: OptimizerClass
    description: str

    def optimizer(self, parameters: Iterable[torch.nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
        """The optimizer; it also continues from a state that the other LAMB left."""
        optimizer = self.optimizer_class(parameters, **settings)
        optimizer.register_load_state_dict_post_hook(partial(_add_missing_settings, dict(optimizer.defaults)))
        return optimizer


def working_lamb(device: torch.device | str) -> Lamb:
    """FusedLAMB if it takes a step on `device`, which must be a CUDA device, else timm's Lamb if that does.

    Raises:
        HermesError: neither does.
    """
    try:
        fused = _fused_lamb(torch.device(device))
        _take_a_step(fused, device)
        return Lamb(fused, "FusedLAMB of NVIDIA's apex")
    except Exception as error:  # an extension built for another torch can raise anything
        problem = _in_one_line(error)
    try:
        from timm.optim import Lamb as TimmLamb

        _take_a_step(TimmLamb, device)
    except Exception as error:
        raise HermesError(
            f"no LAMB optimizer works here, neither timm's ({_in_one_line(error)}) nor apex's ({problem}): run "
            f"'pip install --force-reinstall timm torch torchvision' so that their versions fit together"
        ) from error
    return Lamb(TimmLamb, f"timm's; FusedLAMB of NVIDIA's apex does not work here ({problem})")


def _fused_lamb(device: torch.device) -> OptimizerClass:
    if device.type != "cuda":
        raise HermesError("no CUDA device")
    from apex.optimizers import FusedLAMB

    class FusedLamb(FusedLAMB):
        # nnU-Net passes an argument that apex's does not take.
        def zero_grad(self, set_to_none: bool = True) -> None:
            super().zero_grad()

    return FusedLamb


def _take_a_step(optimizer_class: OptimizerClass, device: torch.device | str) -> None:
    weight = torch.nn.Parameter(torch.ones(8, device=device))
    optimizer = optimizer_class([weight], lr=0.1)
    optimizer.zero_grad(set_to_none=True)
    weight.sum().backward()
    optimizer.step()
    if not bool((weight < 1).all()):
        raise HermesError("a step changes nothing")


def _in_one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _add_missing_settings(settings: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for name, value in settings.items():
            group.setdefault(name, value)
