"""HermesMedFormer: the paper's MedFormer with prior tokens among its semantic codes, Hermes-M."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hermes_nnunet.networks.bidirectional_attention import BidirectionalAttentionBlock
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualDecoder
from hermes_nnunet.networks.fusion import PoolSizes, PriorPools
from hermes_nnunet.networks.heads import ModalityHead, TaskConditionedHead
from hermes_nnunet.networks.paper_network import PaperNetwork
from hermes_nnunet.networks.preactivation import TwoResidualBlocks, set_activation, upsample
from hermes_nnunet.networks.semantic_maps import MapFusion, MapGeneration, PatchMerging

CODES_BEGIN = 2  # first encoder stage with attention


class HermesMedFormer(PaperNetwork):
    """Hermes-M of the paper: convolutions at high resolution, bidirectional attention below, two outputs.

    The sides of an image must be multiples of 16. Its arguments are those of PaperNetwork, and those of `build`.
    """

    def build(
        self,
        pools: PoolSizes,
        base_width: int,
        *,
        widths: Sequence[int] = (64, 128, 256, 320, 256, 128, 64, 32),
        attention_blocks: Sequence[int] = (2, 4, 8, 4, 2),
        num_codes: int = 64,
        head_width: int = 32,
        heads: Sequence[int] | None = None,
        fusion_width: int = 320,
        fusion_heads: int | None = None,
        fusion_depth: int = 2,
        activation: str = "relu",
    ) -> None:
        """Make the stages.

        Args:
            widths: channels of the four stages down and the four up.
            attention_blocks: of stages 2, 3, 4 down and 1, 2 up; the others have two residual blocks.
            num_codes: semantic codes of a stage.
            head_width: channels of an attention head, where `heads` or `fusion_heads` say nothing else.
            heads: attention heads of the same five stages.
            fusion_width: width of the transformer that fuses the codes.
            fusion_heads: its attention heads.
            fusion_depth: its layers.
            activation: of the pre-activation units, a word of `preactivation.ACTIVATIONS`.
        """
        down, up = list(widths[:4]), list(widths[4:])
        head_widths = [head_width] * len(attention_blocks)
        if heads is not None:
            head_widths = [width // number for width, number in zip(widths[1:6], heads, strict=True)]
        self.first_stage = nn.Sequential(PatchMerging(base_width, down[0]), TwoResidualBlocks(down[0], down[0]))
        self.stages = nn.ModuleList(
            _DownStage(narrow, wide, blocks, num_codes=num_codes, head_width=own, pools=pools)
            for narrow, wide, blocks, own in zip(down, down[1:], attention_blocks[:3], head_widths, strict=False)
        )
        self.map_fusion = MapFusion(
            down[1:],
            fusion_width=fusion_width,
            depth=fusion_depth,
            head_width=head_width if fusion_heads is None else fusion_width // fusion_heads,
        )
        self.decoder = _Decoder([base_width, *down], up, attention_blocks[3:], head_widths=head_widths[3:], pools=pools)
        set_activation(self, activation)

    @property
    def supervision_scales(self) -> list[list[float]]:
        """Full resolution twice: the auxiliary output is upsampled."""
        return [[1.0, 1.0, 1.0]] * 2

    @property
    def supervision_weights(self) -> list[float]:
        """The paper's: both outputs weigh the same."""
        return [0.5, 0.5]

    def features_and_posteriors(
        self, x: torch.Tensor, context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """See ContextualNetwork."""
        skips = [self.stem(x)]
        skips.append(self.first_stage(skips[0]))
        codes, posteriors = [], []
        for stage in self.stages:
            features, own_codes, posterior = stage(skips[-1], context)
            skips.append(features)
            codes.append(own_codes)
            posteriors.append(posterior)
        features, more_posteriors = self.decoder(skips, self.map_fusion(codes), context)
        return features, [*posteriors, *more_posteriors]


class _AttentionStage(nn.Module):
    """Attention blocks over features and tokens: semantic codes and the context's prior tokens."""

    def __init__(
        self,
        in_width: int,
        width: int,
        blocks: int,
        *,
        head_width: int,
        pools: PoolSizes,
        project_last_tokens: bool = True,
    ) -> None:
        super().__init__()
        # See FusionPlace: its rows belong to one collection.
        self.seg_layers = nn.ModuleDict({"priors": PriorPools(pools, width=width)})
        self.blocks = nn.ModuleList(
            BidirectionalAttentionBlock(
                in_width if block == 0 else width,
                width,
                head_width=head_width,
                project_tokens=project_last_tokens or block < blocks - 1,
            )
            for block in range(blocks)
        )

    def attend(
        self, features: torch.Tensor, codes: torch.Tensor, context: ContextBatch
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features, codes (B, N, C) and posterior tokens (B, R + M, C) after all blocks."""
        tokens = torch.cat((codes, self.seg_layers["priors"](context)), dim=1)
        for block in self.blocks:
            features, tokens = block(features, tokens)
        num_codes = codes.shape[1]
        return features, tokens[:, :num_codes], tokens[:, num_codes:]


class _DownStage(_AttentionStage):
    def __init__(self, in_width: int, width: int, blocks: int, *, num_codes: int, **kwargs: Any) -> None:
        super().__init__(width, width, blocks, **kwargs)
        self.patch_merging = PatchMerging(in_width, width)
        self.map_generation = MapGeneration(width, num_codes)

    def forward(self, x: torch.Tensor, context: ContextBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, in_width, 2D, 2H, 2W) -> features (B, width, D, H, W), codes and posterior tokens."""
        merged = self.patch_merging(x)
        return self.attend(merged, self.map_generation(merged), context)


class _UpStage(_AttentionStage):
    def __init__(self, below_width: int, skip_width: int, width: int, blocks: int, **kwargs: Any) -> None:
        super().__init__(below_width + skip_width, width, blocks, **kwargs)
        self.reduce_codes = nn.Linear(below_width + skip_width, width, bias=False)

    def forward(
        self,
        below: torch.Tensor,
        skip: torch.Tensor,
        below_codes: torch.Tensor,
        skip_codes: torch.Tensor,
        context: ContextBatch,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features and codes of below and of the skip -> features (B, width, D, H, W), codes and posterior tokens."""
        features = torch.cat((upsample(below, skip.shape[2:]), skip), dim=1)
        codes = self.reduce_codes(torch.cat((below_codes, skip_codes), dim=-1))
        return self.attend(features, codes, context)


class _UpsampledHead(TaskConditionedHead):
    """A head that reads a lower resolution; its logits are interpolated to the full one."""

    def __init__(self, token_width: int, feature_width: int, stride: int) -> None:
        super().__init__(token_width, feature_width)
        self.stride = stride

    def forward(self, task_tokens: torch.Tensor, features: torch.Tensor, task_index: torch.Tensor) -> torch.Tensor:
        """As TaskConditionedHead, but (B, R, stride D, stride H, stride W)."""
        logits = super().forward(task_tokens, features, task_index)
        return upsample(logits, torch.Size(self.stride * length for length in logits.shape[2:]))


class _Decoder(ContextualDecoder):
    """Two up-stages with attention, two with convolutions; the heads."""

    def __init__(
        self,
        skip_widths: Sequence[int],
        widths: Sequence[int],
        attention_blocks: Sequence[int],
        *,
        head_widths: Sequence[int],
        pools: PoolSizes,
    ) -> None:
        super().__init__()
        first = _UpStage(
            skip_widths[4], skip_widths[3], widths[0], attention_blocks[0], head_width=head_widths[0], pools=pools
        )
        second = _UpStage(
            widths[0],
            skip_widths[2],
            widths[1],
            attention_blocks[1],
            head_width=head_widths[1],
            pools=pools,
            project_last_tokens=False,  # nothing reads its codes
        )
        self.attention_stages = nn.ModuleList([first, second])
        self.conv_stages = nn.ModuleList(
            [
                TwoResidualBlocks(widths[1] + skip_widths[1], widths[2]),
                TwoResidualBlocks(widths[2] + skip_widths[0], widths[3]),
            ]
        )
        token_width = sum(skip_widths[CODES_BEGIN:]) + sum(widths[:2])
        self.add_heads(
            [TaskConditionedHead(token_width, widths[3]), _UpsampledHead(token_width, widths[1], stride=4)],
            ModalityHead(token_width, pools.num_modalities),
        )

    def forward(
        self, skips: list[torch.Tensor], fused_codes: list[torch.Tensor], context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Skips (highest resolution first), codes of stages 2 to 4 -> maps of both heads, and posterior tokens."""
        x, codes, posteriors = skips[-1], fused_codes[-1], []
        for step, stage in enumerate(self.attention_stages):
            x, codes, posterior = stage(x, skips[-2 - step], codes, fused_codes[-2 - step], context)
            posteriors.append(posterior)
        auxiliary = x
        for step, layers in enumerate(self.conv_stages):
            skip = skips[1 - step]
            x = layers(torch.cat((upsample(x, skip.shape[2:]), skip), dim=1))
        return [x, auxiliary], posteriors
