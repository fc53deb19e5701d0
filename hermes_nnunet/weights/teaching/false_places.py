"""Where a network that is being taught finds what is not there, in the whole of its examples."""

from collections.abc import Sequence

import numpy as np
import torch

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.weights.teaching.cases import FalsePlaces, TaughtCase, cut

LEAST_PROBABILITY = 0.2
TILES_AT_ONCE = 4


@torch.no_grad()
def find_false_places(
    network: ContextualNetwork,
    context: ContextBatch,
    cases: Sequence[TaughtCase],
    size: Sequence[int],
    *,
    most_tiles: int,
    random: np.random.Generator,
) -> list[FalsePlaces]:
    """Look at whole cases, tile by tile, side by side.

    Args:
        network: in training, with deep supervision. Its context is not that of the caller's batches afterwards.
        context: with the taught tasks, of one case.
        size: voxels of a tile.
        most_tiles: if there are more in all cases, some are drawn.
        random: draws them.
    """
    device = next(network.parameters()).device
    tasks = int(context.real_rows[0].sum())
    tiles = [(number, corner) for number, case in enumerate(cases) for corner in corners_of(case.labels.shape, size)]
    if len(tiles) > most_tiles:
        tiles = [tiles[place] for place in sorted(random.permutation(len(tiles))[:most_tiles])]
    found: list[list[np.ndarray]] = [[] for _ in cases]
    for first in range(0, len(tiles), TILES_AT_ONCE):
        some = tiles[first : first + TILES_AT_ONCE]
        cuts = [cut(cases[number], corner, size) for number, corner in some]
        network.set_context(context.on(device).repeated(len(some)))
        output = network(torch.stack([image for image, _ in cuts]).to(device))
        probabilities = torch.sigmoid(output.logits[0][:, :tasks]).float().cpu()
        for (number, corner), (_, labels), own in zip(some, cuts, probabilities, strict=True):
            values = torch.arange(1, tasks + 1).view(-1, 1, 1, 1)
            surest = torch.where(labels == values, 0, own).amax(0).numpy()
            here = np.argwhere(surest > LEAST_PROBABILITY)
            there = here + corner
            inside = (there < cases[number].labels.shape).all(1)
            found[number].append(np.column_stack((there, surest[tuple(here.T)]))[inside])
    together = [(case, np.concatenate(own)) for case, own in zip(cases, found, strict=True) if own]
    return [FalsePlaces(case, own[:, :3].astype(int), own[:, 3]) for case, own in together if len(own)]


def corners_of(shape: Sequence[int], size: Sequence[int]) -> list[np.ndarray]:
    """First voxels of tiles that cover an image and overlap as little as they must."""
    axes = []
    for length, own in zip(shape, size, strict=True):
        number = max(1, -(-length // own))
        axes.append(np.linspace(0, max(0, length - own), number).round().astype(int))
    return list(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))
