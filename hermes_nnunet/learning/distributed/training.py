"""A training by command: alone, or one of the processes that torchrun starts on one machine or more."""

import argparse
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import distributed

from hermes_nnunet.core.checkpoint_names import BEST, FINAL
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed.inputs import Inputs, find_inputs
from hermes_nnunet.learning.distributed.meeting import MEETING_TIMEOUT, Meeting, Place
from hermes_nnunet.learning.distributed.peers import watched_peers
from hermes_nnunet.learning.distributed.pretrained import load_pretrained
from hermes_nnunet.learning.distributed.shared_folders import check_shared_folders

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

# The final validation waits for the process with the largest images.
COLLECTIVE_TIMEOUT = timedelta(minutes=30)
BACKENDS = {"cuda": "nccl", "cpu": "gloo"}


def train(arguments: argparse.Namespace) -> None:
    """Train and validate as nnUNetv2_train does.

    Args:
        arguments: as `hermes_nnunet.train` parses them.

    Raises:
        HermesError: something is wrong with the call, the data or the machines; all processes raise it.
    """
    place = Place.from_environment()
    with _all_processes(place, arguments):
        if arguments.device == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_num_threads(1)
        trainer = _trainer(arguments)
        if not arguments.val:
            trainer.run_training()
        if arguments.val_best:
            trainer.load_checkpoint(_checkpoint(trainer, BEST))
        trainer.perform_actual_validation(arguments.npz)


@contextmanager
def _all_processes(place: Place, arguments: argparse.Namespace) -> Iterator[None]:
    """The process group, after a check that every process has what it needs; nothing of that for a single process."""
    look = partial(_look, place, arguments)
    if place.processes == 1:
        look()
        yield
        return
    if arguments.device not in BACKENDS:
        raise HermesError(f"-device {arguments.device} works for one process only: use -device cuda or cpu")
    store, _, _ = next(distributed.rendezvous("env://", timeout=MEETING_TIMEOUT))
    meeting = Meeting(distributed.PrefixStore("meeting", store), place)
    check_shared_folders(meeting, place, platform.node(), look)
    store.set_timeout(COLLECTIVE_TIMEOUT)
    distributed.init_process_group(
        BACKENDS[arguments.device],
        store=distributed.PrefixStore("training", store),
        rank=place.rank,
        world_size=place.processes,
        timeout=COLLECTIVE_TIMEOUT,
    )
    with watched_peers():
        yield
    # Not after an error: it would wait for processes that are still computing.
    distributed.destroy_process_group()


def _look(place: Place, arguments: argparse.Namespace) -> Inputs:
    """Take this process's GPU and find its inputs."""
    if arguments.device == "cuda":
        gpus = torch.cuda.device_count()
        if place.local_rank >= gpus:
            remedy = (
                f"start at most {gpus} processes there (-num_gpus, or torchrun's --nproc_per_node)"
                if gpus
                else "use -device cpu"
            )
            raise HermesError(f"no GPU for process {place.local_rank + 1} of the machine, torch sees {gpus}: {remedy}")
        torch.cuda.set_device(place.local_rank)
    return find_inputs(arguments.dataset, arguments.p, arguments.configuration, arguments.pretrained_weights)


def _trainer(arguments: argparse.Namespace) -> "HermesTrainer":
    """The trainer, with the weights that it starts from."""
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        trainer_class = recursive_find_trainer_class_by_name(arguments.tr)
    except RuntimeError as error:
        raise HermesError(f"-tr {arguments.tr}: {str(error).splitlines()[0]}") from None
    if not issubclass(trainer_class, HermesTrainer):
        raise HermesError(f"-tr {arguments.tr} is not a HermesTrainer: train it with nnUNetv2_train")
    trainer = get_trainer_from_args(
        arguments.dataset,
        arguments.configuration,
        arguments.fold,
        arguments.tr,
        arguments.p,
        arguments.c,
        torch.device(arguments.device),
    )
    trainer.disable_checkpointing = arguments.disable_checkpointing
    if arguments.val:
        _checkpoint(trainer, FINAL)
    if arguments.pretrained_weights is not None:
        trainer.initialize()
        load_pretrained(trainer.bare_network, arguments.pretrained_weights)
    maybe_load_checkpoint(trainer, arguments.c, arguments.val)
    return trainer


def _checkpoint(trainer: "HermesTrainer", name: str) -> str:
    """Path of a checkpoint of the fold.

    Raises:
        HermesError: it does not exist.
    """
    path = Path(trainer.output_folder) / name
    if not path.is_file():
        raise HermesError(f"{path} does not exist: train the fold to its end first")
    return str(path)
