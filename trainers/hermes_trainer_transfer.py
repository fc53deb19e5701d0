"""Training that starts from a trained model, as nnU-Net finds it by name (-tr HermesTrainerTransfer)."""

from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.continuation import Continuation
from hermes_nnunet.learning.training.parameter_groups import adamw
from hermes_nnunet.learning.training.schedule import PolynomialSchedule
from hermes_nnunet.learning.training.transfer import SlowRows, transfer_groups
from hermes_nnunet.weights.additions.compose import ordinary_plans
from hermes_nnunet.weights.starting.base import START_VARIABLE, Base, base_of_environment, read_base
from hermes_nnunet.weights.starting.beginning import Beginning, begin


class HermesTrainerTransfer(HermesTrainer):
    """HermesTrainer for the best Dice on a new member: all weights start from a base and learn.

    The base is the one that the collection extends, or what HERMES_START_FROM names. Its rows of tasks and modalities
    are taken over by name. Shares below 1 let the base's layers learn more slowly, the more so the nearer they are to
    the image: then it forgets less of its old tasks, and learns less of the new ones.

    Attributes:
        base_share: rate of the base's last layer, and of rows that were taken over, in relation to that of new rows.
        first_layer_share: rate of the base's first layer in relation to that of its last.
        warm_up_share: share of the epochs in which the rates grow.
    """

    base_share = 1.0
    first_layer_share = 1.0
    warm_up_share = 0.05

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        # What an adapter could learn, the weights learn themselves.
        super().__init__(ordinary_plans(plans), configuration, fold, dataset_json, device)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        """AdamW, with the rates of `transfer_groups`."""
        groups = transfer_groups(
            self.network, self.initial_lr, share=self.base_share, share_of_first_layer=self.first_layer_share
        )
        optimizer = adamw(groups, self.weight_decay)
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs, round(self.warm_up_share * self.num_epochs))

    def resume(self, interrupted: Continuation) -> None:
        """Also the rates of rows that were taken over."""
        self._follow(Beginning.read(Path(self.output_folder)))
        super().resume(interrupted)

    def begin(self) -> None:
        """Take over the base's weights."""
        beginning = begin(self, self._base())
        if self.local_rank == 0:
            beginning.write(Path(self.output_folder))
        self._follow(beginning)

    def _base(self) -> Base:
        extended = self.hermes_plans.base
        if extended is not None:
            return read_base(Path(extended.model), extended.fold)
        base = base_of_environment(self.fold, self.plans_manager.plans_name, self.configuration_name)
        if base is None:
            raise HermesError(
                f"{self.plans_manager.dataset_name} extends no model: make it with 'hermes_nnunet extend', or name a "
                f"model to start from in {START_VARIABLE}"
            )
        return base

    def _follow(self, beginning: Beginning) -> None:
        self.beginning = beginning
        SlowRows(self.bare_network, beginning.rows, self.base_share).follow(self.optimizer)

    def on_train_end(self) -> None:
        super().on_train_end()
        others = [member for member in self.beginning.members if member not in self.collection.members]
        if others:
            self.print_to_log_file(
                f"no views are made of {listed(others)}: all weights of the base have learned for other images, so its "
                "segmentations of these members would not be the base's any more, and are likely to be worse; the "
                "base's own views are as they were"
            )


class HermesTrainerTransfer_5epochs(HermesTrainerTransfer):
    epochs = 5


class HermesTrainerTransfer_10epochs(HermesTrainerTransfer):
    epochs = 10


class HermesTrainerTransfer_50epochs(HermesTrainerTransfer):
    epochs = 50


class HermesTrainerTransfer_250epochs(HermesTrainerTransfer):
    epochs = 250
