"""A place of the network where the context meets the features: its own prior pools and fusion blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hermes_nnunet.networks.attention import FusionBlock
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.lookup import looked_up


@dataclass(frozen=True)
class PoolSizes:
    """What all prior pools of a network have in common; their width is that of the features at their place.

    Attributes:
        num_tasks: tasks in the pool, without the null row.
        num_modalities: modalities in the pool, "unknown" (the last row) included.
        tokens_per_modality: prior tokens of one modality.
    """

    num_tasks: int
    num_modalities: int
    tokens_per_modality: int


class PriorPools(nn.Module):
    """Learned prior tokens: one a task and a null row; several a modality."""

    def __init__(self, sizes: PoolSizes, *, width: int) -> None:
        super().__init__()
        self.tasks = nn.Parameter(torch.empty(sizes.num_tasks + 1, width))
        self.modalities = nn.Parameter(torch.empty(sizes.num_modalities, sizes.tokens_per_modality, width))
        nn.init.xavier_uniform_(self.tasks)
        nn.init.xavier_uniform_(self.modalities)

    def forward(self, context: ContextBatch) -> torch.Tensor:
        """Prior tokens (B, R + M, C) of a batch's contexts: tasks first, then the modality's."""
        tasks = looked_up(self.tasks, context.task_index.remainder(len(self.tasks)))  # the null row, -1, is the last
        return torch.cat((tasks, looked_up(self.modalities, context.modality_index)), dim=1)


class FusionPlace(nn.Module):
    """Prior tokens of the context and a feature map update each other.

    `attend_to_null_rows` lets the voxels read the tokens that pad a context, as the paper's networks do.

    Attributes:
        recomputes: nothing between the two is kept for the backward pass, which computes it again: a block would keep
            some 20 numbers for each number of the feature map. All blocks together are a fifteenth of the network's
            multiplications.
    """

    recomputes = True

    def __init__(self, pools: PoolSizes, *, width: int, depth: int, attend_to_null_rows: bool = False) -> None:
        super().__init__()
        # nnU-Net's -pretrained_weights leaves out what has '.seg_layers.' in its name: what belongs to one data set.
        self.seg_layers = nn.ModuleDict({"priors": PriorPools(pools, width=width)})
        self.blocks = nn.ModuleList(FusionBlock(width) for _ in range(depth))
        self.tokens_per_modality = pools.tokens_per_modality
        self.attend_to_null_rows = attend_to_null_rows

    @property
    def priors(self) -> PriorPools:
        return cast(PriorPools, self.seg_layers["priors"])

    def forward(self, features: torch.Tensor, context: ContextBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """features (B, C, D, H, W) -> fused features of the same shape and posterior tokens (B, R + M, C)."""
        tokens = self.priors(context)
        readable = None
        if not self.attend_to_null_rows:
            readable = nn.functional.pad(context.real_rows, (0, self.tokens_per_modality), value=True)
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(self._fuse, features, tokens, readable, use_reentrant=False, preserve_rng_state=False)
        return self._fuse(features, tokens, readable)

    def _fuse(
        self, features: torch.Tensor, tokens: torch.Tensor, readable: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # (B, C, D, H, W) -> (B, N, C). Contiguous, or every norm and every sum of the blocks would turn it again.
        voxels = features.flatten(2).transpose(1, 2).contiguous()
        for block in self.blocks:
            tokens, voxels = block(tokens, voxels, readable)
        return voxels.transpose(1, 2).reshape(features.shape), tokens

    def compute_feature_map_size(self, feature_size: Sequence[int]) -> int:
        """Numbers that the backward pass uses, for a feature map of `feature_size` voxels an axis, one case.

        An upper bound of the memory: they exist while this place is computed again, not those of all places at a time.
        """
        return math.prod(feature_size) * sum(cast(FusionBlock, block).elements_per_voxel for block in self.blocks)
