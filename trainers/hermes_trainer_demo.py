"""The trainer of `hermes_nnunet demo`."""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

from hermes_nnunet.learning.training.demo_schedule import EPOCHS, ITERATIONS_PER_EPOCH, VALIDATION_ITERATIONS_PER_EPOCH


class HermesTrainerDemo(HermesTrainer):
    """HermesTrainer for some minutes on a CPU."""

    epochs = EPOCHS

    # nnU-Net looks up its own arguments by the names in this signature.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch = ITERATIONS_PER_EPOCH
        self.num_val_iterations_per_epoch = VALIDATION_ITERATIONS_PER_EPOCH
