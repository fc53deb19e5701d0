"""The trainers of the comparison, which nnU-Net finds through nnUNet_extTrainer."""

import random
from typing import Any

import numpy as np
import torch
from comparison.data import with_architecture
from comparison.recipe import EPOCHS, Recipe
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
    nnUNetTrainerNoMirroring,
)

from hermes_nnunet.processes import available_cores
from hermes_nnunet.training.lamb import working_lamb
from hermes_nnunet.training.parameter_groups import parameter_groups
from hermes_nnunet.training.sampling import case_probabilities_by_weight
from hermes_nnunet.training.schedule import PolynomialSchedule
from hermes_nnunet.training.weight_average import WeightAverage

VALIDATION_BATCHES = 2


class ComparisonTrainer(nnUNetTrainerNoMirroring):
    """nnU-Net's trainer with the recipe of the comparison, and without mirroring: left and right are different."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        self.recipe = Recipe.of_environment()
        super().__init__(self.plans_of_recipe(plans), configuration, fold, dataset_json, device)
        self.num_epochs = EPOCHS
        self.num_iterations_per_epoch = self.recipe.batches // EPOCHS
        self.num_val_iterations_per_epoch = VALIDATION_BATCHES
        self.save_every = 1
        self.initial_lr = self.recipe.learning_rate
        self.weight_decay = self.recipe.weight_decay
        self.oversample_foreground_percent = self.recipe.foreground_oversampling
        # nnU-Net wants a thread a core of the machine; where this process has fewer (taskset), they wait for each other
        torch.set_num_threads(available_cores())

    def plans_of_recipe(self, plans: dict[str, Any]) -> dict[str, Any]:
        """The plans with what the recipe changes of the network."""
        return plans

    def initialize(self) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(self.recipe.seed)
        super().initialize()
        self.average = WeightAverage(self.network) if self.recipe.averaged_weights else None
        self.optimizer.register_step_pre_hook(self._clip_gradients)
        if self.average is not None:
            self.optimizer.register_step_post_hook(lambda *_: self.average.update())

    def _clip_gradients(self, *_: Any) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clipping)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        settings = {"lr": self.initial_lr, "weight_decay": self.weight_decay}
        parameters = parameter_groups(self.network, self.initial_lr, self.recipe.token_layers_share)
        if self.recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, momentum=0.99, nesterov=True, **settings)
        elif self.recipe.optimizer == "lamb":
            optimizer = working_lamb(self.device).optimizer(parameters, betas=(0.9, 0.999), eps=1e-5, **settings)
        else:
            optimizer = torch.optim.AdamW(parameters, **settings)
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs, self.recipe.warm_up_epochs)

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.average is not None:
            self.average.exchange()


class ComparisonHermesTrainer(ComparisonTrainer, HermesTrainer):
    """HermesTrainer with the recipe of the comparison."""

    def plans_of_recipe(self, plans: dict[str, Any]) -> dict[str, Any]:
        return with_architecture(plans, modality_norms=self.recipe.modality_norms)

    def case_probabilities(self, cases: list[str]) -> np.ndarray:
        if self.recipe.sampling == "collection":
            return super().case_probabilities(cases)
        members = [self.collection.cases[case].member for case in cases]
        even = self.recipe.sampling == "members"
        weights = {member: 1 / members.count(member) if even else 1.0 for member in set(members)}
        return case_probabilities_by_weight(cases, self.collection, weights)

    def _build_loss(self) -> torch.nn.Module:
        self.cross_entropy_weight = self.recipe.cross_entropy_weight
        self.dice_exponents = self.recipe.first_dice_exponent, self.recipe.last_dice_exponent
        self.absent_weight = self.recipe.absent_weight
        self.adaptive_dice = self.recipe.adaptive_dice
        loss = super()._build_loss()
        if self.recipe.supervision == "full resolution":
            loss.scale_weights = (1.0, *[0.0] * (len(loss.scale_weights) - 1))
        return loss
