"""Weights of a trained model for the network of another training."""

import os
import pickle

from torch import nn

from hermes_nnunet.core.checkpoints import load_without_code
from hermes_nnunet.errors import HermesError

# What nnU-Net's own loader leaves out as well: it belongs to one data set. That loader takes the rank for the number of
# a GPU, so it cannot be used on several machines.
OF_ONE_DATASET = ".seg_layers."


def load_pretrained(network: nn.Module, checkpoint: str | os.PathLike[str]) -> None:
    """Set all weights but those of the tasks and modalities.

    Raises:
        HermesError: the file is no checkpoint of nnU-Net, or of another network.
    """
    try:
        weights = load_without_code(checkpoint)["network_weights"]
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise HermesError(f"{checkpoint} is not a checkpoint of nnU-Net ({reason}): give a checkpoint_*.pth") from None
    own = network.state_dict()
    taken = {name: weights.get(name) for name in own if OF_ONE_DATASET not in name}
    for name, weight in taken.items():
        if weight is None or weight.shape != own[name].shape:
            there = "is not there" if weight is None else f"has shape {tuple(weight.shape)}"
            raise HermesError(
                f"{checkpoint} is of another network: {name} {there}, the plans say {tuple(own[name].shape)}: train "
                f"with the plans of that model, or start without -pretrained_weights"
            )
    network.load_state_dict({**own, **taken})
