"""MedFormer's semantic maps: codes that summarise a feature map, and their exchange between resolutions."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.networks.attention import MLP
from hermes_nnunet.networks.bidirectional_attention import DepthwiseSeparableConv

TRANSFORMER_NORM_EPS = 1e-4


class PatchMerging(nn.Module):
    """Halve the resolution: the eight sub-lattices become channels, then normalise and convolve."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm3d(8 * in_width)
        self.reduce = DepthwiseSeparableConv(8 * in_width, out_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_width, 2D, 2H, 2W) -> (B, out_width, D, H, W)."""
        x = x.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
        # (B, C, D, d, H, h, W, w) -> (B, d h w C, D, H, W): the depth offset varies slowest, the channel fastest
        merged = x.permute(0, 3, 5, 7, 1, 2, 4, 6).flatten(1, 4)
        return self.reduce(self.norm(merged))


class MapGeneration(nn.Module):
    """Codes of a feature map: each the mean of its features, weighted by a score of the code's own."""

    def __init__(self, width: int, num_codes: int) -> None:
        super().__init__()
        self.to_features = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.to_scores = nn.Conv3d(width, num_codes, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, D, H, W) -> codes (B, num_codes, width)."""
        shares = self.to_scores(x).flatten(2).softmax(dim=-1)
        return shares @ self.to_features(x).flatten(2).transpose(1, 2)


class SelfAttention(nn.Module):
    """Pre-norm multi-head self-attention with residual; heads contiguous."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.head_width = min(head_width, width)
        self.norm = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)
        self.to_query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, S, width) -> the same shape."""
        parts = self.to_query_key_value(self.norm(tokens)).chunk(3, dim=-1)
        heads = [part.unflatten(-1, (-1, self.head_width)).transpose(1, 2) for part in parts]
        attended = functional.scaled_dot_product_attention(*heads)
        return tokens + self.to_out(attended.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Self-attention and an MLP as wide as the tokens, both with residual."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, head_width)
        self.norm = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)
        self.mlp = MLP(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, S, width) -> the same shape."""
        tokens = self.attention(tokens)
        return tokens + self.mlp(self.norm(tokens))


class MapFusion(nn.Module):
    """Codes of several resolutions read each other in a small transformer."""

    def __init__(self, widths: Sequence[int], *, fusion_width: int, depth: int, head_width: int) -> None:
        super().__init__()
        self.widen = nn.ModuleList(nn.Linear(width, fusion_width, bias=False) for width in widths)
        self.layers = nn.Sequential(*(TransformerLayer(fusion_width, head_width) for _ in range(depth)))
        self.narrow = nn.ModuleList(nn.Linear(fusion_width, width, bias=False) for width in widths)

    def forward(self, codes: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes (B, N, widths[i]) of each resolution -> the same shapes."""
        widened = [project(own) for project, own in zip(self.widen, codes, strict=True)]
        fused = self.layers(torch.cat(widened, dim=1)).chunk(len(widened), dim=1)
        return [project(own) for project, own in zip(self.narrow, fused, strict=True)]
