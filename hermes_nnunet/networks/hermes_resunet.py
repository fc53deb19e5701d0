"""HermesResUNet: the paper's residual U-Net with fusion places, Hermes-R."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualDecoder
from hermes_nnunet.networks.fusion import FusionPlace, PoolSizes
from hermes_nnunet.networks.heads import ModalityHead, TaskConditionedHead
from hermes_nnunet.networks.paper_network import PaperNetwork
from hermes_nnunet.networks.preactivation import TwoResidualBlocks, upsample

WIDTHS = (1, 2, 4, 8, 10)  # of stem and stages, in units of the base width
FUSION_DEPTH = {2: 2, 3: 2, 4: 4}  # encoder stage -> blocks
DECODER_FUSION_DEPTH = 2
STAGES = len(WIDTHS) - 1


class HermesResUNet(PaperNetwork):
    """Hermes-R of the paper: pre-activation residual U-Net of four stages, one output.

    Its arguments are those of PaperNetwork, and those of `build`.
    """

    def build(
        self, pools: PoolSizes, base_width: int, *, strides: Sequence[Sequence[int]] = ((2, 2, 2),) * STAGES
    ) -> None:
        """Make the stages, which have 2, 4, 8 and 10 times the base width.

        Args:
            strides: of the pooling before each stage, by axis.
        """
        widths = [base_width * width for width in WIDTHS]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.MaxPool3d(tuple(stride)), TwoResidualBlocks(narrow, wide))
            for stride, (narrow, wide) in zip(strides, pairwise(widths), strict=True)
        )
        self.fusion = nn.ModuleDict(
            {
                str(stage): FusionPlace(pools, width=widths[stage], depth=depth, attend_to_null_rows=True)
                for stage, depth in FUSION_DEPTH.items()
            }
        )
        self.decoder = _Decoder(widths, pools)

    @property
    def supervision_scales(self) -> list[list[float]]:
        """Full resolution only."""
        return [[1.0, 1.0, 1.0]]

    @property
    def supervision_weights(self) -> list[float]:
        """All to the one output."""
        return [1.0]

    def features_and_posteriors(
        self, x: torch.Tensor, context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """See ContextualNetwork."""
        x = self.stem(x)
        skips, posteriors = [x], []
        for stage, layers in enumerate(self.stages, start=1):
            x = layers(x)
            if str(stage) in self.fusion:
                x, posterior = self.fusion[str(stage)](x, context)
                posteriors.append(posterior)
            skips.append(x)
        features, more_posteriors = self.decoder(skips, context)
        return [features], [*posteriors, *more_posteriors]


class _Decoder(ContextualDecoder):
    """Four up-stages, the first two with a fusion place; the heads."""

    def __init__(self, widths: list[int], pools: PoolSizes) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            TwoResidualBlocks(widths[stage] + widths[stage + 1], widths[stage]) for stage in reversed(range(STAGES))
        )
        self.fusion = nn.ModuleDict(
            {
                str(step): FusionPlace(
                    pools, width=widths[STAGES - 1 - step], depth=DECODER_FUSION_DEPTH, attend_to_null_rows=True
                )
                for step in (0, 1)
            }
        )
        token_width = sum(widths[stage] for stage in (2, 3, 4, 3, 2))
        self.add_heads([TaskConditionedHead(token_width, widths[0])], ModalityHead(token_width, pools.num_modalities))

    def forward(self, skips: list[torch.Tensor], context: ContextBatch) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Skips (highest resolution first) -> features of the full resolution, and posterior tokens."""
        x, posteriors = skips[-1], []
        for step, layers in enumerate(self.stages):
            skip = skips[-2 - step]
            x = layers(torch.cat((skip, upsample(x, skip.shape[2:])), dim=1))
            if str(step) in self.fusion:
                x, posterior = self.fusion[str(step)](x, context)
                posteriors.append(posterior)
        return x, posteriors
