"""The random number generators that training draws from: Python's, numpy's, torch's and the GPU's."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import distributed

from hermes_nnunet.learning.distributed.averaging import number_of_processes


def random_state(device: torch.device) -> dict[str, Any]:
    """State of this process's generators; of the GPU's only where `device` is one."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """The inverse of `random_state`; a GPU's generator is left alone where the state has none."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def set_random_states(states: Sequence[Mapping[str, Any]], device: torch.device) -> bool:
    """Set this process's own of the states by rank; False, and nothing done, if there were more or fewer processes."""
    processes = number_of_processes()
    if len(states) != processes:
        return False
    set_random_state(states[distributed.get_rank() if processes > 1 else 0], device)
    return True
