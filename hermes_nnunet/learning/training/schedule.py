"""The learning rate by epoch: nnU-Net's polynomial decay, and the paper's warm-up before it."""

import math

import torch

STEEPNESS = 10
EXPONENT = 0.9


def lr_factor(epoch: int, epochs: int, warm_up_epochs: int) -> float:
    """e^(10 (epoch / warm_up_epochs - 1)) up to and including epoch `warm_up_epochs`, then (1 - epoch / epochs)^0.9."""
    if warm_up_epochs and epoch <= warm_up_epochs:
        return math.exp(STEEPNESS * (epoch / warm_up_epochs - 1))
    return (1 - epoch / epochs) ** EXPONENT


class PolynomialSchedule:
    """Sets an optimizer's learning rates by `lr_factor`, when nnU-Net calls `step` at the start of an epoch.

    Each parameter group keeps its own share of the rates that the optimizer was made with; nnU-Net's PolyLRScheduler
    sets all groups to one rate. torch's LambdaLR warns of a step that names the epoch, and of one before the
    optimizer's first.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, warm_up_epochs: int = 0) -> None:
        self.optimizer = optimizer
        self.epochs = epochs
        self.warm_up_epochs = warm_up_epochs
        self.initial_rates = [group["lr"] for group in optimizer.param_groups]

    def step(self, epoch: int) -> None:
        factor = lr_factor(epoch, self.epochs, self.warm_up_epochs)
        for group, rate in zip(self.optimizer.param_groups, self.initial_rates, strict=True):
            group["lr"] = rate * factor
