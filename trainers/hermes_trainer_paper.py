"""The paper's recipe, as nnU-Net finds it by name (-tr HermesTrainerPaper)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

from hermes_nnunet.learning.training.augmentation import (
    AugmentationByCase,
    intensity_probabilities,
    paper_augmentation,
)
from hermes_nnunet.learning.training.case_context import LastCase, announcing_dataset_class
from hermes_nnunet.learning.training.continuation import Continuation
from hermes_nnunet.learning.training.lamb import working_lamb
from hermes_nnunet.learning.training.precision import bfloat16_by_default, has_bfloat16
from hermes_nnunet.learning.training.sampling import case_probabilities_by_weight, paper_weights
from hermes_nnunet.learning.training.schedule import PolynomialSchedule
from hermes_nnunet.learning.training.weight_average import WeightAverage


class HermesTrainerPaper(HermesTrainer):
    """200 epochs of 400 batches with the paper's optimizer, schedule, averaged weights, sampling and augmentation.

    - LAMB, lr 2e-3, betas 0.9 and 0.999, eps 1e-5. It clips gradients at a norm of 1, so nnU-Net's clipping at 12 has
      no effect. Learning rate by epoch: see `lr_factor`. Weight decay and warm-up depend on the plans' network.
    - Each step of the optimizer updates an average of the weights. Validation uses the average, and it is stored as a
      checkpoint's network_weights, so nnUNetv2_predict, --val and -pretrained_weights use it too. The checkpoint also
      has the trained weights, with which --c continues.
    - bfloat16 on GPUs that support it, else nnU-Net's float16 with scaled gradients; float32 on the CPU.
    - If all members have names from the paper, a case is drawn in proportion to its member's weight in the paper.
    - The loss is the mean over the (case, task) pairs of two cases, as on each GPU in the paper, and then over the
      batch, on any number of GPUs.
    - Augmentation as in the paper: see `paper_augmentation`. Patches lie anywhere in an image, except that, as in
      nnU-Net, a third must show a task; the paper crops its images around the labels instead.
    - A case is run with its member's tasks only.

    Attributes:
        settings_of_network: weight decay and warm-up epochs of networks that do not have those of
            `settings_of_other_networks`.
    """

    epochs = 200
    iterations_per_epoch = 400
    foreground_oversampling = 0.33
    cross_entropy_weight = 1.0
    adaptive_dice = True
    dice_exponents = (1.0, 1.0)
    absent_weight = 0.0
    cases_per_mean = 2
    extra_tasks = 0
    settings_of_network: ClassVar[dict[str, tuple[float, int]]] = {
        "hermes_nnunet.networks.hermes_medformer.HermesMedFormer": (0.05, 0),
    }
    settings_of_other_networks: ClassVar[tuple[float, int]] = (1e-5, 5)

    dataset_class: type  # nnU-Net's own

    def set_recipe(self) -> None:
        """Weight decay and warm-up of the network, sampling weights of the members, precision of the device."""
        self.weight_decay, self.warm_up_epochs = self.settings_of_network.get(
            self.configuration_manager.network_arch_class_name, self.settings_of_other_networks
        )
        self.paper_weights = paper_weights(self.collection)
        self.last_case = LastCase()
        self.bfloat16 = has_bfloat16(self.device)
        if self.bfloat16:
            self.grad_scaler = None
        elif self.device.type == "cuda":
            self.print_to_log_file("this GPU does not compute in bfloat16: training in float16 with scaled gradients")

    def initialize(self) -> None:
        super().initialize()
        self.average = WeightAverage(self.bare_network)
        # A hook, because the gradient scaler leaves out steps.
        self.optimizer.register_step_post_hook(lambda *_: self.average.update())

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        """The LAMB that works here, and the paper's schedule."""
        lamb = working_lamb(self.device)
        self.print_to_log_file(f"LAMB: {lamb.description}")
        optimizer = lamb.optimizer(
            self.network.parameters(), lr=self.initial_lr, betas=(0.9, 0.999), eps=1e-5, weight_decay=self.weight_decay
        )
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs, self.warm_up_epochs)

    def get_training_transforms(
        self,
        patch_size: Sequence[int],
        rotation_for_DA: tuple[float, float],
        deep_supervision_scales: list[list[float]] | None,
        mirror_axes: tuple[int, ...] | None,
        do_dummy_2d_data_aug: bool,
        use_mask_for_norm: list[bool] | None = None,
        **kwargs: Any,
    ) -> AugmentationByCase:
        """The paper's augmentation, then nnU-Net's validation transforms; the target stays a label map."""
        shared = HermesTrainer.get_validation_transforms(deep_supervision_scales, **kwargs)
        of_cases = intensity_probabilities(self.collection, papers=self.paper_weights is not None)
        of_probability = {
            probability: ComposeTransforms(
                [*paper_augmentation(patch_size, rotation_for_DA, do_dummy_2d_data_aug, probability), shared]
            )
            for probability in set(of_cases.values())
        }
        return AugmentationByCase(self.last_case, of_cases, of_probability)

    def get_tr_and_val_datasets(self) -> tuple[Any, ...]:
        whose = "the collection's, as not all members are the paper's" if self.paper_weights is None else "the paper's"
        self.print_to_log_file(f"sampling weights: {whose}")
        dataset_class = self.dataset_class
        self.dataset_class = announcing_dataset_class(dataset_class, self.last_case)
        try:
            return super().get_tr_and_val_datasets()
        finally:
            self.dataset_class = dataset_class

    def case_probabilities(self, cases: Sequence[str]) -> np.ndarray:
        """By the paper's weight of a case, or the collection's weight of a member."""
        if self.paper_weights is None:
            return super().case_probabilities(cases)
        return case_probabilities_by_weight(cases, self.collection, self.paper_weights)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self._precision():
            return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self._precision():
            return super().validation_step(batch)

    def _precision(self) -> AbstractContextManager[None]:
        return bfloat16_by_default(self.device) if self.bfloat16 else nullcontext()

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.average.exchange()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        self.average.exchange()
        super().on_validation_epoch_end(val_outputs)

    def save_checkpoint(self, filename: str) -> None:
        """Save the averaged weights as the network's, for everything that loads the checkpoint."""
        with self.average.in_network():
            super().save_checkpoint(filename)

    def state_to_resume(self) -> Continuation:
        """With the trained weights, which save_checkpoint has set aside."""
        return replace(
            super().state_to_resume(),
            training_weights=self.average.state_aside(),
            averaged_updates=self.average.updates,
        )

    def resume(self, interrupted: Continuation) -> None:
        """Give the network its trained weights back; it was loaded with their average."""
        if interrupted.training_weights is not None:
            self.average.resume(interrupted.training_weights, interrupted.averaged_updates)
        super().resume(interrupted)

    def on_train_end(self) -> None:
        super().on_train_end()
        self.average.exchange()  # for the final validation
