"""Weights of a trained model for the network of another training."""

import os
import pickle

import numpy as np
import torch
from torch import nn

from hermes_nnunet.errors import HermesError

# What nnU-Net's own loader leaves out as well: it belongs to one data set. That loader takes the rank for the number of
# a GPU, so it cannot be used on several machines.
OF_ONE_DATASET = ".seg_layers."


def load_pretrained(network: nn.Module, checkpoint: str | os.PathLike) -> None:
    """Set all weights but those of the tasks and modalities.

    Raises:
        HermesError: the file is no checkpoint of nnU-Net, or of another network.
    """
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["network_weights"]
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
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


def _numpy_globals() -> list:
    """What nnU-Net's checkpoints hold beside tensors: numbers and arrays of numpy."""
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"}
    return [np.ndarray, np.dtype, reconstruct, scalar, *dtypes]
