"""The trainers of the comparison, which nnU-Net finds through nnUNet_extTrainer."""

import random
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison.augmentation import without_changes_of_values
from comparison.averages import average_file, is_whole
from comparison.data import CONFIGURATION, with_architecture
from comparison.frequencies import task_frequencies
from comparison.memory import MEMORY_LINE, resident_megabytes
from comparison.recipe import EPOCHS, Recipe
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_addition import HermesTrainerAddition
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_transfer import HermesTrainerTransfer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
    nnUNetTrainerNoMirroring,
)

from hermes_nnunet.core.processes import available_cores
from hermes_nnunet.learning.training.augmentation import AugmentationByCase
from hermes_nnunet.learning.training.case_context import LastCase, announcing_dataset_class
from hermes_nnunet.learning.training.lamb import working_lamb
from hermes_nnunet.learning.training.parameter_groups import parameter_groups
from hermes_nnunet.learning.training.sampling import case_probabilities_by_weight
from hermes_nnunet.learning.training.schedule import PolynomialSchedule
from hermes_nnunet.learning.training.weight_average import WeightAverage
from hermes_nnunet.networks.fusion import FusionPlace
from hermes_nnunet.planning.preprocessing.intensity import CT

VALIDATION_BATCHES = 2
CLIPPING_OF_NNUNET = 12.0


class LoggerOfLastEpoch(MetaLogger):
    """nnU-Net's, which draws the training's curves when all epochs are there."""

    def plot_progress_png(self, output_folder: str) -> None:
        if len(self.get_value("train_losses", None)) >= EPOCHS:
            super().plot_progress_png(output_folder)


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
        # Else the picture of the curves is drawn after every epoch, which takes longer than a short one.
        self.logger = LoggerOfLastEpoch(self.output_folder, self.logger.resume)
        self.num_epochs = EPOCHS
        self.num_iterations_per_epoch = self.recipe.batches // EPOCHS
        self.num_val_iterations_per_epoch = VALIDATION_BATCHES
        self.save_every = 1
        self.initial_lr = self.recipe.learning_rate
        self.weight_decay = self.recipe.weight_decay
        self.oversample_foreground_percent = self.recipe.foreground_oversampling
        self.probabilistic_oversampling = self.recipe.probabilistic_oversampling
        # nnU-Net wants a thread a core of the machine; where this process has fewer (taskset), they wait for each other
        torch.set_num_threads(available_cores())

    def plans_of_recipe(self, plans: dict[str, Any]) -> dict[str, Any]:
        """The plans with what the recipe changes of the network."""
        widths = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]["features_per_stage"]
        return with_architecture(
            plans, features_per_stage=[round(width * self.recipe.width_factor) for width in widths]
        )

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self._precision():
            return super().train_step(batch)

    def _precision(self) -> AbstractContextManager[object]:
        return (
            torch.autocast(self.device.type, torch.bfloat16) if self.recipe.precision == "bfloat16" else nullcontext()
        )

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.print_to_log_file(f"{MEMORY_LINE} {resident_megabytes():.0f} MB")

    def initialize(self) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(self.recipe.seed)
        super().initialize()
        if self.recipe.gradient_clipping < CLIPPING_OF_NNUNET:
            self.optimizer.register_step_pre_hook(self._clip_gradients)
        self.average = None
        if self.recipe.averaged_weights:
            self.average = WeightAverage(self.network, self.recipe.average_decay)
            self.optimizer.register_step_post_hook(lambda *_: self.average.update())
        self.kept = {decay: WeightAverage(self.network, decay) for decay in self.recipe.kept_averages}
        for average in self.kept.values():
            self.optimizer.register_step_post_hook(lambda *_, average=average: average.update())

    def _clip_gradients(self, *_: Any) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clipping)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        settings = {"lr": self.initial_lr, "weight_decay": self.weight_decay}
        fused = True  # a tenth of the step of a small network is its hundreds of parameters, one after another
        parameters = parameter_groups(self.network, self.initial_lr, self.recipe.token_layers_share)
        if self.recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, momentum=0.99, nesterov=True, fused=fused, **settings)
        elif self.recipe.optimizer == "lamb":
            optimizer = working_lamb(self.device).optimizer(parameters, betas=(0.9, 0.999), eps=1e-5, **settings)
        else:
            optimizer = torch.optim.AdamW(parameters, fused=fused, **settings)
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs, self.recipe.warm_up_epochs)

    def on_train_end(self) -> None:
        super().on_train_end()
        for decay, average in self.kept.items():
            if is_whole(average.updates, decay, self.recipe.batches):
                with average.in_network():
                    self.save_checkpoint(str(Path(self.output_folder) / average_file(decay)))
        if self.average is not None:
            self.average.exchange()


class ComparisonHermesTrainer(ComparisonTrainer, HermesTrainer):
    """HermesTrainer with the recipe of the comparison."""

    def plans_of_recipe(self, plans: dict[str, Any]) -> dict[str, Any]:
        plans = super().plans_of_recipe(plans)
        return with_architecture(plans, self.recipe.network, modality_norms=self.recipe.modality_norms)

    def initialize(self) -> None:
        self.extra_tasks = self.recipe.extra_tasks
        self.unknown_modality_share = self.recipe.unknown_modality_share
        super().initialize()
        for place in self.bare_network.modules():
            if isinstance(place, FusionPlace):
                place.recomputes = False  # patches are small, so there is memory, and the step is a tenth shorter
        if self.recipe.first_logits == "frequency":
            cases, _ = self.do_split()
            dataset = self.dataset_class(self.preprocessed_dataset_folder, cases)
            logits = torch.logit(torch.from_numpy(task_frequencies(dataset, cases, self.collection)))
            for head in self.bare_network.decoder.heads:
                head.seg_layers["classifiers"].bias.data[: len(logits)] = logits
        if self.recipe.ct_augmentation != "alike":
            self.last_case = LastCase()
            self.dataset_class = announcing_dataset_class(self.dataset_class, self.last_case)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.recipe.dice_fade_batches is not None:
            first, last = self.dice_exponents
            done = self.current_epoch * (self.recipe.batches // EPOCHS)
            whole = self.recipe.dice_fade_batches or (EPOCHS - 1) * (self.recipe.batches // EPOCHS)
            self.loss.dice_exponent = first + (last - first) * min(1.0, done / whole)

    def get_training_transforms(self, *arguments: Any, **named: Any) -> Any:
        transforms = super().get_training_transforms(*arguments, **named)
        if self.recipe.ct_augmentation == "alike":
            return transforms
        modality_of = {case: entry.modality for case, entry in self.collection.cases.items()}
        of_modality = {
            **dict.fromkeys(self.collection.modalities, transforms),
            CT: without_changes_of_values(transforms),
        }
        return AugmentationByCase(self.last_case, modality_of, of_modality)

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
        self.exclusion_weight = self.recipe.exclusion_weight
        loss = super()._build_loss()
        if self.recipe.supervision == "full resolution":
            loss.scale_weights = (1.0, *[0.0] * (len(loss.scale_weights) - 1))
        return loss


class ComparisonAdditionTrainer(ComparisonHermesTrainer, HermesTrainerAddition):
    """HermesTrainerAddition with the recipe of the comparison; its other rates are the trainer's own."""

    def initialize(self) -> None:
        self.initial_lr, self.weight_decay = self.recipe.addition_rate, self.adapter_decay
        super().initialize()

    configure_optimizers = HermesTrainerAddition.configure_optimizers


class ComparisonTransferTrainer(ComparisonHermesTrainer, HermesTrainerTransfer):
    """HermesTrainerTransfer with the recipe of the comparison."""

    def initialize(self) -> None:
        self.base_share, self.first_layer_share = self.recipe.base_share, self.recipe.first_layer_share
        super().initialize()

    configure_optimizers = HermesTrainerTransfer.configure_optimizers
