"""What nnU-Net's own distributed training leaves to be said: which device, how to wrap, whether the batch is enough."""

from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed.averaging import number_of_processes


def check_batch_size(plans: dict[str, Any], configuration: str) -> None:
    """Check that every process gets a case of the plans' batch.

    Raises:
        HermesError: there are more processes than cases.
    """
    batch_size = PlansManager(plans).get_configuration(configuration).batch_size
    processes = number_of_processes()
    if processes > batch_size:
        raise HermesError(
            f"{plans['plans_name']}.json of {plans['dataset_name']} has batch_size {batch_size} in {configuration}, "
            f"too few for {processes} GPUs: use at most {batch_size}, or raise it there"
        )


def own_device(kind: str) -> torch.device:
    """The device of this process: the GPU that it made its current one, or 'cpu'."""
    return torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)


def data_parallel(network: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The network with gradients averaged over the processes.

    It must have no buffers: they would be broadcast at each call, and in the final validation every process predicts as
    many patches as its own cases have.
    """
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
