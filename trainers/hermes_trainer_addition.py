"""The trainer of an addition: the base frozen, and only what a new member needs beside it learns."""

from pathlib import Path
from typing import Any

import torch
from nnunetv2.paths import nnUNet_results
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.schedule import PolynomialSchedule
from hermes_nnunet.learning.training.unknown_modality import cases_of
from hermes_nnunet.weights.additions.compose import plans_without_additions
from hermes_nnunet.weights.additions.first_rows import (
    FirstPatches,
    FirstRows,
    fit_first_rows,
    take_from_first_process,
)
from hermes_nnunet.weights.additions.starting import (
    changed_weight,
    optimizer_of_addition,
    round_adapters,
    start_addition,
)
from hermes_nnunet.weights.additions.trained import base_of_plans, check_planned_as_base, finish_training


class HermesTrainerAddition(HermesTrainer):
    """Trains what a base needs to do one more member, on a collection that `hermes_nnunet extend` has made.

    The base's weights do not learn, and whoever uses its old members gets the same voxels with and without the
    addition. At the end the fold's folder has the addition's file, and beside this model lies the universal model that
    has old and new tasks.

    Attributes:
        addition_rate: learning rate of rows of pools and of adapters of convolutions.
        linear_share: share of it for adapters of linear layers, after which no norm takes out the size of a step.
        adapter_decay: weight decay of the adapters, towards the base; rows have none.
        first_batches: batches that the first rows are fitted to; 0 for rows that start as the mean of the base's.
    """

    addition_rate = 8e-3
    linear_share = 0.1
    adapter_decay = 1e-2
    first_batches = 12

    def set_recipe(self) -> None:
        """See HermesTrainer; finds the base, before hours of work."""
        where = f"{self.plans_manager.plans_name}.json of {self.collection_name}"
        self.base = base_of_plans(self.hermes_plans, where)
        check_planned_as_base(self.plans_manager.plans, self.base, self.configuration_name, where)
        self.initial_lr = self.addition_rate
        self.weight_decay = self.adapter_decay

    @property
    def collection_name(self) -> str:
        """Name of the collection's data set."""
        return self.plans_manager.dataset_name

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        """AdamW of what learns; nnU-Net calls this when the network is there and before it is wrapped."""
        network = self.bare_network
        base_plans = plans_without_additions(self.base.plans)
        self.frozen_rows = start_addition(network, self.hermes_plans, self.base.base, base_plans)
        optimizer = optimizer_of_addition(network, self.initial_lr, self.linear_share, self.weight_decay)
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """HermesTrainer's; rows of the base that are in one tensor with new ones stay what they are."""
        result = super().train_step(batch)
        self.frozen_rows.restore()
        return result

    def begin(self) -> None:
        """The network has its base's weights already; HERMES_START_FROM is not asked."""

    def fit_to_batches(self) -> None:
        """Give rows of the new tasks a start that fits what some patches show."""
        network = self.bare_network
        # By all processes, as the loaders of all go on together.
        number = self.first_batches if FirstRows.has_classifiers(network) else 0
        batches = [next(self.dataloader_train) for _ in range(number)]
        if self.local_rank == 0:
            patches = [
                FirstPatches(batch["data"], batch["target"], self._contexts(cases_of(batch["keys"])))
                for batch in batches
            ]
            values = [task.values for task in self.collection.tasks]
            first = FirstRows(network, patches, values, ignore_label=self.label_manager.ignore_label)
            base_plans = plans_without_additions(self.base.plans)
            chosen = fit_first_rows(first, self.base.base, base_plans, self.hermes_plans.context.modality)
            self.print_to_log_file(f"prior tokens of the new tasks start as {chosen}")
        take_from_first_process(network)

    def on_train_start(self) -> None:
        if self.was_initialized:
            self._check_has_base()
        super().on_train_start()
        learning = sum(parameter.numel() for parameter in self.bare_network.parameters() if parameter.requires_grad)
        self.print_to_log_file(f"addition to {self.base.where}: {learning} numbers learn, the base is frozen")

    def _check_has_base(self) -> None:
        """See that nobody has loaded other weights into the network."""
        weights, base_plans = self.bare_network.state_dict(), plans_without_additions(self.base.plans)
        changed = changed_weight(weights, self.hermes_plans, self.base.base, base_plans)
        if changed is not None:
            raise HermesError(
                f"{changed} of the network is not that of the base {self.base.where}, and an addition acts with its "
                "base's weights: leave out -pretrained_weights, and begin a training anew that began with them"
            )

    def on_train_end(self) -> None:
        """HermesTrainer's, after adapters were rounded as in their file: what is validated is what is shared."""
        round_adapters(self.bare_network)
        super().on_train_end()

    def _write_views(self) -> None:
        """The view of this model, then the addition's file, and the universal model with its views."""
        super()._write_views()
        # An addition has the final weights, and after a validation of others still has their Dice.
        if self.local_rank != 0 or self.disable_checkpointing or self._weights_of != FINAL:
            return
        trained_on = {
            "cases": len(self.do_split()[0]),
            "collection": self.collection_name,
            "trainer": type(self).__name__,
            "epochs": self.num_epochs,
            "batches": self.num_epochs * self.num_iterations_per_epoch,
            "batch_size": self.configuration_manager.batch_size,
        }
        for message in finish_training(
            Path(self.output_folder),
            self.plans_manager.plans,
            self.collection,
            self.base,
            results=Path(nnUNet_results),
            trained_on=trained_on,
        ):
            self.print_to_log_file(message)


class HermesTrainerAddition_5epochs(HermesTrainerAddition):
    epochs = 5


class HermesTrainerAddition_10epochs(HermesTrainerAddition):
    epochs = 10


class HermesTrainerAddition_50epochs(HermesTrainerAddition):
    epochs = 50


class HermesTrainerAddition_250epochs(HermesTrainerAddition):
    epochs = 250
