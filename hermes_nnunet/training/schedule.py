"""The paper's learning rate by epoch."""

import math

import torch

STEEPNESS = 10
EXPONENT = 0.9


def lr_factor(epoch: int, epochs: int, warm_up_epochs: int) -> float:
    """e^(10 (epoch / warm_up_epochs - 1)) up to and including epoch `warm_up_epochs`, then (1 - epoch / epochs)^0.9."""
    if warm_up_epochs and epoch <= warm_up_epochs:
        return math.exp(STEEPNESS * (epoch / warm_up_epochs - 1))
    return (1 - epoch / epochs) ** EXPONENT


class PaperSchedule:
    """Sets an optimizer's learning rates by `lr_factor`, when nnU-Net calls `step` at the start of an epoch.

    torch's LambdaLR warns of a step that names the epoch, and of one before the optimizer's first.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, lr: float, epochs: int, warm_up_epochs: int) -> None:
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.warm_up_epochs = warm_up_epochs

    def step(self, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * lr_factor(epoch, self.epochs, self.warm_up_epochs)
