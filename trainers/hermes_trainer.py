"""The trainer that nnU-Net finds by name (-tr HermesTrainer)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.paths import nnUNet_raw, nnUNet_results
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.helpers import dummy_context
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from rich.console import Console
from torch import distributed as dist
from torch import nn

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.dice import dice_table, mean_of_defined
from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_splits, without_cases
from hermes_nnunet.core.shortages import ending_in_one_line
from hermes_nnunet.core.trusted_plans import check_plans
from hermes_nnunet.data.merge.record import check_whole
from hermes_nnunet.errors import HermesError, TrainingEndedError
from hermes_nnunet.learning.distributed.data_parallel import check_batch_size, data_parallel, own_device
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.learning.training.case_context import announcing_dataset_class, validation_context
from hermes_nnunet.learning.training.dice_fade import DiceFade
from hermes_nnunet.learning.training.extra_tasks import ExtraTasks
from hermes_nnunet.learning.training.hard_counts import hard_counts
from hermes_nnunet.learning.training.interruptible_trainer import MEMORY_REMEDY, InterruptibleTrainer
from hermes_nnunet.learning.training.learning_curves import FILE_NAME as LEARNING_CURVES
from hermes_nnunet.learning.training.learning_curves import LearningCurves, member_sums, summed_over_processes
from hermes_nnunet.learning.training.member_dice import dice_by_member, restrict_summary, write_member_dice
from hermes_nnunet.learning.training.parameter_groups import adamw, parameter_groups
from hermes_nnunet.learning.training.sampling import case_probabilities, weighted_identifiers
from hermes_nnunet.learning.training.schedule import PolynomialSchedule
from hermes_nnunet.learning.training.unknown_modality import SHARE_KEY, cases_of, told_unknown, with_told
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.networks.context_batch import ContextBatch, ContextIndexer
from hermes_nnunet.networks.output import HermesOutput, joined
from hermes_nnunet.planning.preprocessing.finished import (
    PREPROCESS_REMEDY,
    Preprocessed,
    changes_since,
    check_cases,
    check_preprocessed,
)
from hermes_nnunet.plans import PLANS_REMEDY, HermesPlans
from hermes_nnunet.prediction.views.write import write_views
from hermes_nnunet.weights.additions.model_folder import check_free_of_additions
from hermes_nnunet.weights.starting.beginning import begin_from_environment


class HermesTrainer(InterruptibleTrainer):
    """Trains one network on a collection. The network is told each case's annotated tasks and its modality.

    Nothing is mirrored, in training or at prediction, because left and right are different tasks.

    The environment variable HERMES_START_FROM names a model from whose weights a new training starts.

    A training continued with --c draws the random numbers that it would have drawn without the interruption, except
    those of data workers (nnUNet_n_proc_DA above 0).

    Attributes:
        epochs: length of the training; the short variants change only this.
        iterations_per_epoch: training batches, as in nnU-Net.
        validation_iterations_per_epoch: validation batches, as in nnU-Net.
        foreground_oversampling: share of a batch's patches that must show a task. nnU-Net's third also gives half of a
            batch of two, but less of larger batches, which then show small tasks too rarely.
        cross_entropy_weight: see HermesLoss; so are adaptive_dice, absent_weight, exclusion_weight and cases_per_mean.
        dice_exponents: HermesLoss' exponent in the first epoch and, after a linear change, in the later ones: see
            DiceFade. Validation uses the last.
        extra_tasks: how many tasks at most join those of a case in training, drawn again in every step, to learn where
            they are not: see ExtraTasks. Not used with networks that attend to a context's padding.
        unknown_modality_share: share of the training patches for which the network is told "unknown" and which get the
            default intensity rule, while the modality head still learns the true modality: see ToldUnknown.
    """

    epochs = 1000
    iterations_per_epoch = 250
    validation_iterations_per_epoch = 50
    foreground_oversampling = 0.5
    cross_entropy_weight = 3.0
    adaptive_dice = False
    dice_exponents: tuple[float, float] = (0.0, 1.0)
    absent_weight = 0.2
    cases_per_mean: int | None = None
    exclusion_weight = 1.0
    extra_tasks = 2
    unknown_modality_share = 0.0

    # nnU-Net's own attributes that are set anew here
    dataset_class: type
    dataset_json: dict[str, Any]
    save_every: int

    @ending_in_one_line(end=TrainingEndedError)
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        self.hermes_plans = HermesPlans.from_plans(plans)
        check_plans(plans, f"the plans {plans.get('plans_name')} of {plans.get('dataset_name')}")
        if nnUNet_raw.is_set():
            check_whole(Path(nnUNet_raw) / plans["dataset_name"])
        self.collection = Collection.from_dataset_json(dataset_json, plans["dataset_name"])
        if self.collection.task_names != self.hermes_plans.tasks:
            raise HermesError(
                f"{plans['dataset_name']} was merged again after {plans['plans_name']}.json was made, and has other "
                f"tasks now: {PLANS_REMEDY}"
            )
        if self.hermes_plans.has_voxel_orders and self.hermes_plans.base is None:
            raise HermesError(
                f"{plans['plans_name']}.json is that of imported weights, whose images come in other voxel orders than "
                f"RAS, and a training has RAS: {PLANS_REMEDY}"
            )
        check_batch_size(plans, configuration)
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.is_ddp:
            # nnU-Net takes the rank, which counts over all machines, for the number of a GPU.
            self.device = own_device(device.type)
            if device.type != "cuda":
                self.grad_scaler = None
        check_free_of_additions(Path(self.output_folder_base))
        self.num_epochs = self.epochs
        self.num_iterations_per_epoch = self.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.validation_iterations_per_epoch
        self.initial_lr = 2e-3
        self.weight_decay = 1e-2
        self.oversample_foreground_percent = self.foreground_oversampling
        self.context_of_batch = ContextIndexer.of_plans(self.hermes_plans)
        self.learning_curves = LearningCurves()
        self.step_of_epoch = 0
        self.set_recipe()

    def set_recipe(self) -> None:
        """Set what depends on the network, the collection or the device; the last step of the constructor."""

    @ending_in_one_line(remedy=MEMORY_REMEDY, end=TrainingEndedError)
    def initialize(self) -> None:
        """nnU-Net's, but with our own wrapper for several processes, on this process' GPU or on the CPU.

        Raises:
            TrainingEndedError: the preprocessed cases were not made for these plans.
        """
        wanted = Preprocessed.of_plans(self.plans_manager, self.configuration_manager, self.dataset_json)
        check_preprocessed(Path(self.preprocessed_dataset_folder), wanted)
        is_ddp, self.is_ddp = self.is_ddp, False
        super().initialize()
        self.is_ddp = is_ddp
        number = 0 if self.bare_network.attends_to_null_rows else self.extra_tasks
        self.extra = ExtraTasks(self.collection, number, self.label_manager.ignore_label)
        self.dice_fade = DiceFade(*self.dice_exponents, self.num_epochs, self.num_iterations_per_epoch)
        if is_ddp:
            self._set_batch_size_and_oversample()
            self.network = data_parallel(self.network, self.device)
        if self.bare_network.attends_to_null_rows:
            self.print_to_log_file(
                f"rows of a batch: the tasks of its largest context and one null row (rows_per_case "
                f"{self.hermes_plans.rows_per_case} of the plans counts for the estimate of the memory only)"
            )

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The plans' network, with the plans' context; nnUNetPredictor calls this, too."""
        return build_network(
            plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolynomialSchedule]:
        """AdamW, because nnU-Net's SGD hardly learns small structures in short runs."""
        groups = parameter_groups(self.network, self.initial_lr)
        optimizer = adamw(groups, self.weight_decay)
        return optimizer, PolynomialSchedule(optimizer, self.num_epochs)

    def _get_deep_supervision_scales(self) -> list[list[float]] | None:
        """The scales of the network's heads."""
        return self.bare_network.supervision_scales if self.enable_deep_supervision else None

    def _build_loss(self) -> HermesLoss:
        return HermesLoss(
            [task.values for task in self.collection.tasks],
            unknown_modality=self.context_of_batch.unknown_modality,
            scale_weights=self.bare_network.supervision_weights if self.enable_deep_supervision else (1.0,),
            ignore_label=self.label_manager.ignore_label,
            cross_entropy_weight=self.cross_entropy_weight,
            adaptive_dice=self.adaptive_dice,
            dice_exponent=self.dice_exponents[0],
            absent_weight=self.absent_weight,
            exclusion_weight=self.exclusion_weight,
            cases_per_mean=self.cases_per_mean,
        ).to(self.device)

    # The loss reads the label map itself, so the transforms need not make a volume for each task: regions=None.

    @staticmethod
    def get_training_transforms(*args: Any, **kwargs: Any) -> Any:
        """nnU-Net's augmentation; the target stays a label map."""
        return nnUNetTrainer.get_training_transforms(*args, **{**kwargs, "regions": None})

    @staticmethod
    def get_validation_transforms(*args: Any, **kwargs: Any) -> Any:
        """nnU-Net's validation transforms; the target stays a label map."""
        return nnUNetTrainer.get_validation_transforms(*args, **{**kwargs, "regions": None})

    def do_split(self) -> tuple[list[str], list[str]]:
        """Training and validation cases of the fold, from the splits_final.json that the merge wrote.

        Raises:
            HermesError: the file is missing or has no such fold; nnU-Net's random split would split patients.
        """
        if self.fold != "all":
            file = Path(self.preprocessed_dataset_folder_base) / SPLITS_FILE
            folds = len(read_splits(file, f"copy it from the collection's folder in nnUNet_raw, or {PLANS_REMEDY}"))
            if not 0 <= self.fold < folds:
                raise HermesError(f"{file} has {folds} folds, so fold {self.fold} does not exist: use 0 to {folds - 1}")
        training, validation = super().do_split()
        return training, self.collection.labelled(validation)

    def checkpoint(self) -> dict[str, Any]:
        """With what a prediction of images of unknown modality needs to know."""
        return {**super().checkpoint(), SHARE_KEY: float(self.unknown_modality_share)}

    def get_tr_and_val_datasets(self) -> tuple[Any, ...]:
        """The fold's data sets, whose cases are drawn with `case_probabilities`."""
        datasets = super().get_tr_and_val_datasets()
        cases = [case for dataset in datasets for case in dataset.identifiers]
        check_cases(Path(self.preprocessed_dataset_folder), cases)
        for dataset in datasets:
            dataset.identifiers = weighted_identifiers(
                dataset.identifiers, self.case_probabilities(dataset.identifiers)
            )
        train, validation = datasets
        folder = Path(self.preprocessed_dataset_folder)
        return told_unknown(train, self.unknown_modality_share, folder, self.collection, self.hermes_plans), validation

    def case_probabilities(self, cases: Sequence[str]) -> np.ndarray:
        """Probability of each case: members by their sampling weights, the cases of a member with equal probability."""
        return case_probabilities(cases, self.collection)

    def begin(self) -> None:
        """See InterruptibleTrainer; a training may start from another model."""
        begin_from_environment(self)

    def _check_merge(self) -> None:
        """See that what is trained on was not merged anew since it was preprocessed; a continued training only says so.

        Raises:
            HermesError: a new training would learn from old labels.
        """
        name = self.plans_manager.dataset_name
        folder = Path(self.preprocessed_dataset_folder)
        changes = changes_since(folder, Path(nnUNet_raw) / name) if nnUNet_raw.is_set() else ""
        if not changes:
            return
        line = f"{name} was merged again after {folder} was preprocessed, cases: {changes}"
        if self._is_continued:
            self.print_to_log_file(f"WARNING: {line}; the training goes on with the preprocessed cases")
            return
        raise HermesError(
            f"{line}: {PREPROCESS_REMEDY} (nnUNetv2_plan_and_preprocess where cases are new or gone), or unset "
            "nnUNet_raw to train on the preprocessed cases"
        )

    def on_train_start(self) -> None:
        self._on_first(self._check_merge)
        # In addition to the checkpoints by time.
        self.save_every = max(1, min(self.save_every, self.num_epochs // 20))
        self.learning_curves = LearningCurves.continued(Path(self.output_folder) / LEARNING_CURVES, self.current_epoch)
        super().on_train_start()
        candidates = ", ".join(f"{len(self.extra.candidates(name))} for {name}" for name in self.collection.members)
        self.print_to_log_file(f"extra tasks of a case: {self.extra.rows}, drawn from {candidates}")
        self.print_to_log_file(str(self.dice_fade))

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.step_of_epoch = self.steps_done
        self.loss.dice_exponent = self.dice_fade.exponent(self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.loss.dice_exponent = self.dice_exponents[1]

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, after telling the network the contexts of the batch, extra tasks included."""
        cases = cases_of(batch["keys"])
        contexts = with_told(self._contexts(cases), batch["keys"], self.context_of_batch.unknown_modality)
        if self.extra.rows:
            step = (self.current_epoch, self.step_of_epoch)
            contexts = contexts.with_extra_tasks(*self.extra.of_batch(cases, step))
        self.bare_network.set_context(contexts.on(self.device))
        self.step_of_epoch += 1
        return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss, hard counts of every task of the pool, and sums for the members' learning curves."""
        data = batch["data"].to(self.device, non_blocking=True)
        target = [labels.to(self.device, non_blocking=True) for labels in batch["target"]]
        with torch.autocast(self.device.type) if self.device.type == "cuda" else dummy_context():
            output = self._output_of_validation(data, batch["keys"])
            loss = self.loss(output, target)
        counts = hard_counts(
            output.logits[0], target[0], output.context.task_index, self.loss.task_values, self.loss.ignore_label
        )
        sums = member_sums(self.loss, output, target, batch["keys"], self.collection)
        return {"loss": loss.detach().cpu().numpy(), "member_sums": sums, **counts}

    def _output_of_validation(self, data: torch.Tensor, cases: np.ndarray) -> HermesOutput:
        """Output of a batch; where null rows take part in the attention, of each case alone, with one null row."""
        together = 1 if self.bare_network.attends_to_null_rows else len(cases)
        outputs = []
        for first in range(0, len(cases), together):
            contexts = self._contexts(cases[first : first + together], padding=self.extra.rows)
            self.bare_network.set_context(contexts.on(self.device))
            outputs.append(self.network(data[first : first + together]))
        return joined(outputs) if len(outputs) > 1 else outputs[0]

    def _contexts(self, cases: Sequence[str] | np.ndarray, padding: int = 0) -> ContextBatch:
        """Contexts of the cases, with `padding` rows more than training has without extra tasks."""
        contexts = [self.collection.context_of(str(case)) for case in cases]
        # Where null rows change nothing, every batch has the same number, so that torch.compile sees one shape.
        rows = self.bare_network.rows_of(contexts, padded_to=self.hermes_plans.rows_per_case + padding)
        return self.context_of_batch(contexts, rows=rows)

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """nnU-Net's logging, a line with the pseudo Dice of every member, and the learning curves."""
        with np.errstate(invalid="ignore"):  # a task may be in none of the patches
            super().on_validation_epoch_end(val_outputs)
        dice = dict(zip(self.hermes_plans.tasks, self.logger.get_value("dice_per_class_or_region", -1), strict=True))
        for name, member in self.hermes_plans.members.items():
            tasks = ", ".join(f"{task.removeprefix(name + '/')} {dice[task]:.3f}" for task in member.tasks)
            self.print_to_log_file(f"{name}: {mean_of_defined(dice[task] for task in member.tasks):.3f} ({tasks})")
        sums = summed_over_processes([output["member_sums"] for output in val_outputs])
        if self.local_rank == 0:
            rate, train_loss, val_loss = (
                self.logger.get_value(key, -1) for key in ("lrs", "train_losses", "val_losses")
            )
            members = list(self.collection.members)
            self.learning_curves.add(self.current_epoch, rate, train_loss, val_loss, dice, sums, members)
            self.learning_curves.write(Path(self.output_folder) / LEARNING_CURVES)

    def on_train_end(self) -> None:
        super().on_train_end()
        self._write_views()
        if self.is_ddp:
            dist.barrier()  # what follows may read the checkpoints

    @ending_in_one_line(remedy=MEMORY_REMEDY, end=TrainingEndedError)
    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's final validation, each case with its member's context; then Dice by member, and the views."""
        dataset_class, dataset_json = self.dataset_class, self.dataset_json
        self.dataset_class = announcing_dataset_class(dataset_class, self._tell_context_in_pool_order)
        self.dataset_json = without_cases(dataset_json)  # every case that is exported has it sent along
        try:
            with np.errstate(invalid="ignore"):
                super().perform_actual_validation(save_probabilities)
        finally:
            self.dataset_class, self.dataset_json = dataset_class, dataset_json
        if self.local_rank == 0:
            folder = Path(self.output_folder) / "validation"
            summary = restrict_summary(folder / "summary.json", self.collection, self._weights_of)
            members = dice_by_member(summary, self.collection)
            write_member_dice(members, folder)
            Console().print(dice_table(members, f"{self.plans_manager.dataset_name}, validation of fold {self.fold}"))
            if self._weights_of != FINAL:
                self.print_to_log_file(
                    f"this is the Dice of {self._weights_of}: what to expect of {FINAL} is not known until --val is run"
                )
            self._write_views()

    def _tell_context_in_pool_order(self, case: str) -> None:
        batch = validation_context(self.bare_network, self.hermes_plans, self.collection, case)
        self.bare_network.set_context(batch.on(self.device))

    def _write_views(self) -> None:
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        for message in write_views(Path(self.output_folder_base), Path(nnUNet_results), [self.fold]):
            self.print_to_log_file(message)
