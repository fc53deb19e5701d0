"""HermesUNet: an encoder and decoder of dynamic-network-architectures with fusion places and task-conditioned heads."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from dynamic_network_architectures.building_blocks.plain_conv_encoder import PlainConvEncoder
from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from dynamic_network_architectures.initialization.weight_init import InitWeights_He, init_last_bn_before_add_to_0
from torch import nn

from hermes_nnunet.networks.adapters import add_adapters
from hermes_nnunet.networks.attention import FusionBlock
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ContextualDecoder, ContextualNetwork
from hermes_nnunet.networks.fusion import FusionPlace, PoolSizes
from hermes_nnunet.networks.heads import AdaptedClassifierHead, ModalityHead
from hermes_nnunet.networks.modality_norm import ModalityNorm

FUSION_DEPTH = 2
BOTTLENECK_FUSION_DEPTH = 4
MIN_STAGES = 3


class HermesUNet(ContextualNetwork):
    """U-Net that is told the context of every image (paper, section 3).

    The arguments are those of dynamic-network-architectures' ResidualEncoderUNet, so that plans.json describes the
    network completely, and these:

    Args:
        num_classes: number of tasks in the task pool.
        num_modalities: number of modalities in the modality pool, "unknown" (the last row) included.
        rows_per_case: most tasks that one case is run with; only the memory estimate uses it.
        tokens_per_modality: prior tokens of one modality.
        encoder_type: 'residual' (blocks) or 'plain' (convolutions in n_blocks_per_stage).
        modality_norms: whether every norm of encoder and decoder is a ModalityNorm; `norm_op` must be InstanceNorm3d.
        adapter_ranks: of the adapters of each addition.

    Raises:
        ValueError: fewer than 3 stages, or modality norms in the place of another norm than InstanceNorm3d.

    Attributes:
        fusion_stride: stages of at least this total stride, and the bottleneck, have fusion places.
    """

    fusion_stride: ClassVar[int] = 4

    def __init__(
        self,
        input_channels: int,
        n_stages: int,
        features_per_stage: Sequence[int],
        conv_op: type[nn.Module],
        kernel_sizes: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        n_blocks_per_stage: Sequence[int],
        num_classes: int,
        n_conv_per_stage_decoder: Sequence[int],
        conv_bias: bool = False,
        norm_op: type[nn.Module] | None = None,
        norm_op_kwargs: dict[str, Any] | None = None,
        dropout_op: type[nn.Module] | None = None,
        dropout_op_kwargs: dict[str, Any] | None = None,
        nonlin: type[nn.Module] | None = None,
        nonlin_kwargs: dict[str, Any] | None = None,
        deep_supervision: bool = False,
        *,
        num_modalities: int = 2,
        rows_per_case: int | None = None,
        tokens_per_modality: int = 10,
        encoder_type: Literal["residual", "plain"] = "residual",
        modality_norms: bool = False,
        adapter_ranks: Sequence[int] = (),
    ) -> None:
        super().__init__(tokens_per_modality)
        if n_stages < MIN_STAGES:
            msg = f"HermesUNet needs at least {MIN_STAGES} stages, so that a stage has total stride 4; got {n_stages}"
            raise ValueError(msg)
        if modality_norms:
            if norm_op is not nn.InstanceNorm3d:
                msg = f"modality_norms needs norm_op InstanceNorm3d; got {norm_op}"
                raise ValueError(msg)
            norm_op, norm_op_kwargs = ModalityNorm, {**(norm_op_kwargs or {}), "num_modalities": num_modalities}
        encoder_class = {"residual": ResidualEncoder, "plain": PlainConvEncoder}[encoder_type]
        self.encoder = encoder_class(
            input_channels,
            n_stages,
            features_per_stage,
            conv_op,
            kernel_sizes,
            strides,
            n_blocks_per_stage,
            conv_bias,
            norm_op,
            norm_op_kwargs,
            dropout_op,
            dropout_op_kwargs,
            nonlin,
            nonlin_kwargs,
            return_skips=True,
        )
        pools = PoolSizes(num_classes, num_modalities, tokens_per_modality)
        self.encoder_fusion = nn.ModuleDict()
        decoder_fusion = nn.ModuleDict()
        for stage in _fusion_stages(strides, self.fusion_stride):
            width = features_per_stage[stage]
            is_bottleneck = stage == n_stages - 1
            depth = BOTTLENECK_FUSION_DEPTH if is_bottleneck else FUSION_DEPTH
            self.encoder_fusion[str(stage)] = FusionPlace(pools, width=width, depth=depth)
            if not is_bottleneck:
                decoder_fusion[str(stage)] = FusionPlace(pools, width=width, depth=FUSION_DEPTH)
        places = (*self.encoder_fusion, *decoder_fusion)
        token_width = sum(features_per_stage[int(stage)] for stage in places)
        self.decoder = HermesDecoder(
            self.encoder,
            n_conv_per_stage_decoder,
            decoder_fusion,
            token_width=token_width,
            pools=pools,
            deep_supervision=deep_supervision,
        )
        self.rows_per_case = num_classes if rows_per_case is None else rows_per_case
        add_adapters(self, adapter_ranks)

    @property
    def supervision_scales(self) -> list[list[float]]:
        """Size of each head's output in relation to the patch, an axis each."""
        strides = np.cumprod(self.encoder.strides[: len(self.decoder.heads)], axis=0)
        return (1 / strides).tolist()

    @property
    def supervision_weights(self) -> list[float]:
        """nnU-Net's weights of the outputs: each half of the one above."""
        weights = 0.5 ** np.arange(len(self.decoder.heads))
        return (weights / weights.sum()).tolist()

    @property
    def layers_without_tokens(self) -> tuple[nn.Module, ...]:
        """Stem and stages of the encoder before the first that has a fusion place."""
        stem = getattr(self.encoder, "stem", None)
        first = min(map(int, self.encoder_fusion))
        return (*([] if stem is None else [stem]), *self.encoder.stages[:first])

    def features_and_posteriors(
        self, x: torch.Tensor, context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """See ContextualNetwork."""
        skips, posteriors = self._encode(x, context)
        features, more_posteriors = self.decoder(skips, context)
        return features, [*posteriors, *more_posteriors]

    def _encode(self, x: torch.Tensor, context: ContextBatch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        stem = getattr(self.encoder, "stem", None)
        x = x if stem is None else stem(x)
        skips, posteriors = [], []
        for stage, layers in enumerate(self.encoder.stages):
            x = layers(x)
            if str(stage) in self.encoder_fusion:
                x, posterior = self.encoder_fusion[str(stage)](x, context)
                posteriors.append(posterior)
            skips.append(x)
        return skips, posteriors

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """Numbers kept for the backward pass of one case of `input_size` voxels an axis (nnU-Net's memory estimate).

        Convolutions are counted as dynamic-network-architectures counts them; fusion places and heads are added.
        """
        sizes = _stage_sizes(input_size, self.encoder.strides)
        encoder_fusion = sum(
            cast(FusionPlace, place).compute_feature_map_size(sizes[int(stage)])
            for stage, place in self.encoder_fusion.items()
        )
        return int(
            self.encoder.compute_conv_feature_map_size(input_size)
            + encoder_fusion
            + self.decoder.compute_conv_feature_map_size(sizes, self.encoder.output_channels, self.rows_per_case)
        )

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Initialise as ResidualEncoderUNet does; fusion blocks change nothing at first."""
        InitWeights_He(1e-2)(module)
        init_last_bn_before_add_to_0(module)
        if isinstance(module, FusionBlock):
            module.start_as_identity()


class HermesDecoder(ContextualDecoder):
    """U-Net decoder with fusion places, one task-conditioned head for each supervised resolution, a modality head.

    nnU-Net gives the lowest of its resolutions no weight in the loss, so there is no head for it (unless it is the only
    one).
    """

    def __init__(
        self,
        encoder: PlainConvEncoder | ResidualEncoder,
        n_conv_per_stage: Sequence[int],
        fusion: nn.ModuleDict,
        *,
        token_width: int,
        pools: PoolSizes,
        deep_supervision: bool,
    ) -> None:
        super().__init__(deep_supervision=deep_supervision)
        blocks = UNetDecoder(encoder, 1, n_conv_per_stage, deep_supervision=False)
        self.stages = blocks.stages
        self.transpconvs = blocks.transpconvs
        self.fusion = fusion
        supervised = max(1, len(self.stages) - 1)
        widths = encoder.output_channels[:supervised]
        self.add_heads(
            [AdaptedClassifierHead(token_width, width, pools.num_tasks) for width in widths],
            ModalityHead(token_width, pools.num_modalities),
        )

    def forward(
        self, skips: list[torch.Tensor], context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Skips (highest resolution first) -> feature maps (highest resolution first) and posterior tokens."""
        x = skips[-1]
        features, posteriors = [], []
        for step, (upsample, layers) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            stage = len(skips) - 2 - step
            x = layers(torch.cat((upsample(x), skips[stage]), dim=1))
            if str(stage) in self.fusion:
                x, posterior = self.fusion[str(stage)](x, context)
                posteriors.append(posterior)
            features.append(x)
        return features[::-1], posteriors

    def compute_conv_feature_map_size(self, sizes: Sequence[Sequence[int]], widths: Sequence[int], rows: int) -> int:
        """Numbers kept for the backward pass; `sizes` and `widths` of the encoder's stages, `rows` logit channels."""
        total = 0
        for step, layers in enumerate(self.stages):
            stage = len(sizes) - 2 - step
            voxels = math.prod(sizes[stage])
            total += int(layers.compute_conv_feature_map_size(sizes[stage])) + widths[stage] * voxels
            if str(stage) in self.fusion:
                total += cast(FusionPlace, self.fusion[str(stage)]).compute_feature_map_size(sizes[stage])
            if stage < len(self.heads):
                total += rows * voxels
        return total


def _stage_sizes(input_size: Sequence[int], strides: Sequence[Sequence[int]]) -> list[list[int]]:
    sizes, size = [], list(input_size)
    for stride in strides:
        size = [length // step for length, step in zip(size, stride, strict=True)]
        sizes.append(size)
    return sizes


def _fusion_stages(strides: Sequence[Sequence[int]], smallest: int) -> list[int]:
    """Stages whose total stride, as geometric mean over the axes, is at least `smallest`; always the bottleneck."""
    voxels_merged, stages = 1, []
    for stage, stride in enumerate(strides):
        voxels_merged *= math.prod(stride)
        if voxels_merged >= smallest ** len(stride) or stage == len(strides) - 1:
            stages.append(stage)
    return stages
