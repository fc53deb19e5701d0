"""How much a network keeps for the backward pass, counted without running it."""

from collections.abc import Sequence

import torch

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork


def count_saved_numbers(network: ContextualNetwork, input_channels: int, patch_size: Sequence[int], rows: int) -> int:
    """Numbers that autograd keeps for one case with `rows` task rows.

    The network must lie on the meta device, where tensors have shapes but no content. Parameters are not counted.
    """
    sizes: dict[int, int] = {}
    kept = []  # a storage's address is only its own while it lives

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes() // tensor.element_size()
        kept.append(tensor)
        return tensor

    network.set_context(
        ContextBatch(
            torch.zeros(1, rows, dtype=torch.long, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
        )
    )
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        network(torch.zeros(1, input_channels, *patch_size, device="meta"))
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    return sum(size for storage, size in sizes.items() if storage not in own)
