"""Released tensors as the state of one of our networks."""

from collections.abc import Mapping, Sequence

import torch

from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.paper_network import PaperNetwork
from hermes_nnunet.weights.released_names import our_name

TASK_POOL_SUFFIX = ".priors.tasks"


def convert(
    weights: Mapping[str, torch.Tensor], network: PaperNetwork, rows: Sequence[int], where: str
) -> dict[str, torch.Tensor]:
    """State of `network` from released tensors, each checked against the network's own.

    Args:
        network: may lie on the meta device; only names and shapes are read.
        rows: rows of the released task pools that the network's tasks take, in this order; the null row follows.

    Raises:
        HermesError: a tensor is missing, left over or of another shape; the message names it.
    """
    released_name = {our_name(name, type(network)): name for name in weights}
    state = {our: weights[name] for our, name in released_name.items() if our is not None}
    for name, pool in state.items():
        if name.endswith(TASK_POOL_SUFFIX):
            state[name] = pool[[*rows, len(pool) - 1]]
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    if missing:
        raise HermesError(f"{where} is not complete: {type(network).__name__} also has {listed(missing)}")
    left_over = [released_name[name] for name in state if name not in own]
    if left_over:
        raise HermesError(f"{where}: {type(network).__name__} has no place for {listed(left_over)}")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise HermesError(
                f"{where}: {released_name[name]} is {tuple(tensor.shape)}, {type(network).__name__} of these sizes "
                f"needs {tuple(own[name].shape)}"
            )
    return state
