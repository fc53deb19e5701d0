"""HermesResUNet: the paper's residual U-Net with fusion places, Hermes-R."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.fusion import FusionPlace
from hermes_nnunet.networks.heads import ModalityHead, TaskConditionedHead
from hermes_nnunet.networks.preactivation import Stem, TwoResidualBlocks, upsample

WIDTHS = (1, 2, 4, 8, 10)  # of stem and stages, in units of the base width
FUSION_DEPTH = {2: 2, 3: 2, 4: 4}  # encoder stage -> blocks
DECODER_FUSION_DEPTH = 2
STAGES = len(WIDTHS) - 1


class HermesResUNet(ContextualNetwork):
    """Hermes-R of the paper: pre-activation residual U-Net of four stages, one output.

    Null rows take part in the attention, as in the release, so their number matters: see `rows_of`.

    Args:
        num_classes: number of tasks in the task pool.
        base_width: channels of the full resolution; the stages have 2, 4, 8 and 10 times as many.
        strides: of the pooling before each stage, by axis.
        num_modalities: number of modalities in the modality pool, "unknown" (the last row) included.
        tokens_per_modality: prior tokens of one modality.
    """

    attends_to_null_rows = True

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        deep_supervision: bool = False,
        *,
        base_width: int = 32,
        strides: Sequence[Sequence[int]] = ((2, 2, 2),) * STAGES,
        num_modalities: int = 2,
        tokens_per_modality: int = 10,
    ) -> None:
        super().__init__()
        self.tokens_per_modality = tokens_per_modality
        pool_sizes = {
            "num_tasks": num_classes,
            "num_modalities": num_modalities,
            "tokens_per_modality": tokens_per_modality,
            "attend_to_null_rows": True,
        }
        widths = [base_width * width for width in WIDTHS]
        self.stem = Stem(input_channels, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(nn.MaxPool3d(tuple(stride)), TwoResidualBlocks(narrow, wide))
            for stride, (narrow, wide) in zip(strides, pairwise(widths), strict=True)
        )
        self.fusion = nn.ModuleDict(
            {
                str(stage): FusionPlace(width=widths[stage], depth=depth, **pool_sizes)
                for stage, depth in FUSION_DEPTH.items()
            }
        )
        self.decoder = _Decoder(widths, pool_sizes, deep_supervision)

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


class _Decoder(nn.Module):
    """Four up-stages, the first two with a fusion place; the heads. `deep_supervision` is nnU-Net's switch."""

    def __init__(self, widths: list[int], pool_sizes: dict[str, int], deep_supervision: bool) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.stages = nn.ModuleList(
            TwoResidualBlocks(widths[stage] + widths[stage + 1], widths[stage]) for stage in reversed(range(STAGES))
        )
        self.fusion = nn.ModuleDict(
            {
                str(step): FusionPlace(width=widths[STAGES - 1 - step], depth=DECODER_FUSION_DEPTH, **pool_sizes)
                for step in (0, 1)
            }
        )
        token_width = sum(widths[stage] for stage in (2, 3, 4, 3, 2))
        self.heads = nn.ModuleList([TaskConditionedHead(token_width, widths[0])])
        # See FusionPlace: its classes belong to one collection.
        self.seg_layers = nn.ModuleDict({"modality_head": ModalityHead(token_width, pool_sizes["num_modalities"])})

    @property
    def modality_head(self) -> nn.Module:
        return self.seg_layers["modality_head"]

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
