"""nnU-Net's trainer for trainings that are longer than the time that a machine leaves them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
    nnUNetTrainerNoMirroring,
)
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from hermes_nnunet.core.checkpoint_names import FINAL, LATEST
from hermes_nnunet.core.checkpoints import loading_without_code, read_checkpoint
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.nnunet_files import without_cases
from hermes_nnunet.core.shortages import ending_in_one_line
from hermes_nnunet.core.trained_for import check_other_folds, check_trained_for
from hermes_nnunet.errors import HermesError, TrainingEndedError
from hermes_nnunet.learning.distributed.averaging import (
    from_first_process,
    largest_of_processes,
    number_of_processes,
    of_all_processes,
)
from hermes_nnunet.learning.distributed.peers import Peers, end_together, watched_peers
from hermes_nnunet.learning.training.continuation import Continuation
from hermes_nnunet.learning.training.fold_folder import (
    OVERWRITE_VARIABLE,
    check_beginning,
    keep_best,
    locked,
    remove_checkpoints,
)
from hermes_nnunet.learning.training.random_state import random_state, set_random_states
from hermes_nnunet.learning.training.save_interval import SaveInterval
from hermes_nnunet.learning.training.signals import EndedBySignalError, Signals
from hermes_nnunet.learning.training.validated_cases import ValidatedCases, forget_results
from hermes_nnunet.learning.training.watched_batches import WatchedBatches, unwatched
from hermes_nnunet.learning.training.workers import WORKERS_DIED, Workers, told_once

# What the processes agree on after each batch, the most urgent being the largest: a signal is this plus its number.
_GO_ON, _SAVE, _WORKER_DIED, _SIGNAL = 0, 1, 2, 2

_PLANS_REMEDY = f"bring its plans and preprocessed cases back, or set {OVERWRITE_VARIABLE}=1 and leave out --c"
MEMORY_REMEDY = "plan for less of it (-gpu_memory_target), end other programs, or take a machine with more"


class InterruptibleTrainer(nnUNetTrainerNoMirroring):
    """Loses nothing when it is interrupted, and continues exactly.

    - The latest checkpoint is written after every HERMES_SAVE_MINUTES (10), within an epoch as well, and on SIGINT,
      SIGTERM and SIGUSR1, after the step that is running. It holds the place in the epoch.
    - One training or validation at a time is in a fold, and none begins anew over the checkpoint of another.
    - The final validation goes on with the cases that an interrupted one has left.
    - When a process dies that this one needs, the training ends with a line that names it.

    What a subclass adds to the output of a step must be in the dictionary that `train_step` returns here.
    """

    # nnU-Net's own attributes that are read here
    network: nn.Module
    is_ddp: bool
    _best_ema: Any
    dataloader_train: Any
    dataloader_val: Any

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.interrupted: Continuation | None = None
        self._continued_from: Path | None = None
        self._weights_of = FINAL  # the checkpoint that a validation is of
        self._is_spent = False
        self._within_epoch = False
        self._state_before_batch: dict[str, Any] = {}
        self._kept_outputs: list[dict[str, Any]] = []
        self._step_outputs: list[dict[str, Any]] = []
        self._validated: frozenset[str] = frozenset()
        self._signals = Signals()
        self._workers = Workers()
        self._peers: Peers | None = None

    @property
    def bare_network(self) -> nn.Module:
        """The network without the wrappers of DDP and torch.compile."""
        network = self.network
        if isinstance(network, DistributedDataParallel):
            network = network.module
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    @property
    def _is_continued(self) -> bool:
        return self._continued_from is not None

    @property
    def steps_done(self) -> int:
        """Training steps of this epoch that are done, those before an interruption among them."""
        return len(self._step_outputs)

    @ending_in_one_line(remedy=MEMORY_REMEDY, end=TrainingEndedError)
    def run_training(self) -> None:
        """nnU-Net's training.

        Raises:
            EndedBySignalError: a signal came.
            TrainingEndedError: the training must not begin, or cannot go on.
        """
        with watched_peers() as self._peers, self._alone_in_fold(), self._signals.noted(), told_once():
            try:
                super().run_training()
            except BaseException:
                self._is_spent = self.steps_done > 0
                raise
            finally:
                self._end_loaders()
            received = largest_of_processes(self._signals.received or 0, self.device)
            if received:
                self._end_by(received, "before the final validation: run --val")

    def begin(self) -> None:
        """Give a new training its first weights; nothing of an earlier training in the fold is overwritten before."""

    def fit_to_batches(self) -> None:
        """Fit the first weights of a new training to batches that it draws. No checkpoint is written before its end."""

    def on_train_start(self) -> None:
        if self._is_spent:
            raise TrainingEndedError(
                f"this trainer was interrupted within an epoch: make a new one, and let it load {LATEST}"
            )
        self._save_interval = SaveInterval()
        fold = Path(self.output_folder)
        self._on_first(lambda: check_other_folds(fold, self.plans_manager.plans))
        if not self._is_continued:
            self._on_first(lambda: check_beginning(fold, asked_to_continue=self.logger.resume))
            if not self.was_initialized:
                self.initialize()
            self.begin()
        with self._workers.watched():
            try:
                super().on_train_start()
                if not self._is_continued:
                    self.fit_to_batches()
            except RuntimeError as error:
                if WORKERS_DIED in str(error):
                    raise TrainingEndedError(self._died_line()) from None
                raise
        if self.local_rank == 0 and not self.disable_checkpointing:
            if not self._is_continued:
                remove_checkpoints(fold)
            forget_results(fold / "validation")
        self._workers.look()
        self.dataloader_train = WatchedBatches(self.dataloader_train, self._keep_random_state, self._on_batch)
        self.dataloader_val = WatchedBatches(self.dataloader_val, lambda: None, self._on_batch)
        if self.interrupted is not None:
            self.resume(self.interrupted)
            self.interrupted = None

    def resume(self, interrupted: Continuation) -> None:
        """Last step before the first epoch of a continued training."""
        best = max(self.logger.get_value("ema_fg_dice", None), default=None)
        writes = self.local_rank == 0 and not self.disable_checkpointing
        if writes and self._continued_from is not None and best is not None and best != self._best_ema:
            keep_best(self._continued_from, best)
        self._best_ema = best
        self._kept_outputs = interrupted.outputs_of(self.local_rank, number_of_processes())
        if not set_random_states(interrupted.random_states, self.device):
            self.print_to_log_file(
                f"the training began with {len(interrupted.random_states)} processes, so its random numbers are not "
                f"those of an uninterrupted training"
            )

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._step_outputs = list(self._kept_outputs)
        self.num_iterations_per_epoch -= len(self._kept_outputs)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        output = super().train_step(batch)
        self._step_outputs.append(output)
        return output

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        self.num_iterations_per_epoch += len(self._kept_outputs)
        kept, self._kept_outputs = self._kept_outputs, []
        super().on_train_epoch_end([*kept, *train_outputs])

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        # A training that is interrupted from here on continues with the whole validation.
        self._keep_random_state()

    def on_train_end(self) -> None:
        # nnU-Net ends the processes of what it knows.
        self.dataloader_train, self.dataloader_val = unwatched(self.dataloader_train), unwatched(self.dataloader_val)
        super().on_train_end()
        self._weights_of = FINAL

    def _end_loaders(self) -> None:
        """As nnU-Net does at the end of a training, but whatever has ended it."""
        for loader in map(unwatched, (self.dataloader_train, self.dataloader_val)):
            if isinstance(loader, NonDetMultiThreadedAugmenter):
                loader._finish()

    def _keep_random_state(self) -> None:
        self._state_before_batch = random_state(self.device)

    def _on_batch(self, error: RuntimeError | None) -> None:
        """After a batch was drawn, or could not be: end or save, if one of the processes has to.

        All of them come here equally often, so they agree without waiting for each other longer than in a step.
        """
        died = error is not None and WORKERS_DIED in str(error)
        if error is not None and not died:
            return
        wish = _WORKER_DIED if died else _SAVE if self._save_interval.is_over else _GO_ON
        if self._signals.received is not None:
            wish = _SIGNAL + self._signals.received
        agreed = largest_of_processes(wish, self.device)
        if agreed == _GO_ON:
            return
        self._save_within_epoch()
        if agreed == _WORKER_DIED:
            line = f"{self._died_line()}; {self._place()}"
            if self._peers is not None and not died:
                self._peers.exit()
            if self._peers is not None:
                self._peers.close(line)  # now: the others wait for it, and to end the other workers takes long
            raise TrainingEndedError(line) from None
        if agreed > _SIGNAL:
            self._end_by(agreed - _SIGNAL, self._place())

    def _end_by(self, number: int, place: str) -> NoReturn:
        """All processes end by a signal that one of them has received."""
        end = EndedBySignalError(number)
        self._say_on_first(f"ended by {end.signal.name}; {place}")
        end_together()
        raise end

    def _save_within_epoch(self) -> None:
        self._within_epoch = True
        try:
            self.save_checkpoint(os.path.join(self.output_folder, LATEST))
        finally:
            self._within_epoch = False
        self._save_interval.restart()

    def _place(self) -> str:
        whole = self.num_iterations_per_epoch + len(self._kept_outputs)
        if self.disable_checkpointing:
            return "nothing is kept, as checkpoints are disabled"
        return f"{LATEST} holds epoch {self.current_epoch}, step {self.steps_done} of {whole}: continue with --c"

    def _died_line(self) -> str:
        return (
            f"an augmentation process has died: {self._workers.description_of_dead()}; set nnUNet_n_proc_DA below "
            f"{get_allowed_n_proc_DA()}, or give the training more memory"
        )

    def save_checkpoint(self, filename: str) -> None:
        """Save beside and rename, so that a kill leaves the old checkpoint or the new one, never half of one."""
        state = self.state_to_resume()
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)  # writes nothing, and says so
            return
        with written_beside(filename) as temporary:
            torch.save({**self.checkpoint(), **state.to_entry()}, temporary)

    def checkpoint(self) -> dict[str, Any]:
        """The entries of nnU-Net's checkpoint; its own method writes them at once, and lets nobody add to them."""
        logged = self.logger.get_checkpoint()
        if self._within_epoch:
            logged = {key: values[: self.current_epoch] for key, values in logged.items()}
        return {
            "network_weights": self.bare_network.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
            "logging": logged,
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch if self._within_epoch else self.current_epoch + 1,
            "init_args": {**self.my_init_kwargs, "dataset_json": without_cases(self.dataset_json)},
            "trainer_name": type(self).__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }

    def state_to_resume(self) -> Continuation:
        """What `resume` needs; called by every process."""
        if self._within_epoch:
            return Continuation(
                of_all_processes(self._state_before_batch), step_outputs=of_all_processes(self._step_outputs)
            )
        return Continuation(of_all_processes(random_state(self.device)))

    @ending_in_one_line(end=TrainingEndedError)
    def load_checkpoint(self, filename: str) -> None:
        """nnU-Net's loading, but without code. The rest waits for on_train_start, since --val has no use for it.

        Raises:
            TrainingEndedError: the file is missing or damaged, holds more than tensors and numbers, or is of a training
                for other tasks.
        """
        interrupted = Continuation.read(Path(filename))
        check_trained_for(read_checkpoint(Path(filename)), self.plans_manager.plans, filename, _PLANS_REMEDY)
        with loading_without_code():
            super().load_checkpoint(filename)
        self.interrupted = interrupted
        self._continued_from = Path(filename)
        self._weights_of = Path(filename).name

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, in a final validation without the cases that an interrupted one has finished."""
        train, validation = super().do_split()
        return train, [case for case in validation if case not in self._validated]

    @ending_in_one_line(remedy=MEMORY_REMEDY, end=TrainingEndedError)
    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's final validation, of the cases that an interrupted one has left.

        Raises:
            EndedBySignalError: a signal came.
            TrainingEndedError: a process that writes segmentations has died.
        """
        with watched_peers(), self._alone_in_fold():
            cases = self._begin_validation(save_probabilities)
            try:
                with self._signals.raised(), self._workers.watched(lambda: self._signals.fail(self._export_line())):
                    super().perform_actual_validation(save_probabilities)
            except RuntimeError as error:
                if WORKERS_DIED in str(error):
                    raise TrainingEndedError(self._export_line()) from None
                raise
            except EndedBySignalError as end:
                self._say_on_first(
                    f"final validation ended by {end.signal.name}; --val goes on with the cases that are left"
                )
                raise
            finally:
                self._validated = frozenset()
            if self.local_rank == 0:
                cases.end()

    def _begin_validation(self, save_probabilities: bool) -> ValidatedCases:
        cases = ValidatedCases(
            Path(self.output_folder) / "validation",
            self.bare_network.state_dict() if self.local_rank == 0 else {},
            self.plans_manager.plans,
            self.dataset_json,
        )
        _, of_fold = self.do_split()
        whole: list[str] = []
        # What a next stage needs is written as well, and nothing tells whether that is whole.
        if self.local_rank == 0:
            keeps = self.configuration_manager.next_stage_names is None
            whole = cases.begin(of_fold, probabilities=save_probabilities, keep=keeps)
        self._validated = frozenset(from_first_process(whole))
        if self._validated:
            self._say_on_first(
                f"final validation: {len(self._validated)} of {len(of_fold)} cases are there from an interrupted one "
                f"with the same weights"
            )
        return cases

    def _export_line(self) -> str:
        return (
            f"a process that writes segmentations of the final validation has died: "
            f"{self._workers.description_of_dead()}; set nnUNet_def_n_proc below {default_num_processes}, or give the "
            f"validation more memory; --val goes on with the cases that are left"
        )

    @contextmanager
    def _alone_in_fold(self) -> Iterator[None]:
        with ExitStack() as stack:
            self._on_first(lambda: stack.enter_context(locked(Path(self.output_folder))))
            yield

    def _on_first(self, action: Callable[[], object]) -> None:
        """Let the first process act; if that fails, all raise the error."""
        problem = None
        if self.local_rank == 0:
            try:
                action()
            except HermesError as error:
                problem = str(error)
        problem = from_first_process(problem)
        if problem is not None:
            end_together()
            raise TrainingEndedError(problem)

    def _say_on_first(self, text: str) -> None:
        if self.local_rank == 0:
            self.print_to_log_file(text)
