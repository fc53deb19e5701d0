"""MedFormer's attention block: voxels and tokens read each other with one set of scores."""

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.networks.preactivation import PreactivationUnit

FEATURE_EXPANSION = 4
SQUEEZE = 4


class DepthwiseSeparableConv(nn.Sequential):
    """Depthwise 3x3x3 and pointwise convolution, without bias and with nothing between."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__(
            nn.Conv3d(in_width, in_width, 3, padding=1, groups=in_width, bias=False),
            nn.Conv3d(in_width, out_width, 1, bias=False),
        )


class SqueezeExcitation(nn.Module):
    """Channels scaled by what their global means say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Conv3d(width, width // SQUEEZE, 1),
            nn.ReLU(inplace=True),
            nn.Conv3d(width // SQUEEZE, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W) -> the same shape."""
        return x * self.excite(x.mean(dim=(2, 3, 4), keepdim=True))


class InvertedResidual(nn.Module):
    """Widen, convolve depthwise, weigh channels, narrow; and the residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = FEATURE_EXPANSION * width
        self.layers = nn.Sequential(
            PreactivationUnit(width, hidden, kernel_size=1),
            PreactivationUnit(hidden, hidden, groups=hidden),
            SqueezeExcitation(hidden),
            PreactivationUnit(hidden, width, kernel_size=1, activate=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, D, H, W) -> the same shape."""
        return x + self.layers(x)


class BidirectionalAttentionBlock(nn.Module):
    """Features read tokens and tokens read features; then the features' inverted residual.

    Heads are interleaved: channel c of queries, values and outputs belongs to head c % heads.

    Args:
        in_width: channels of the features that enter.
        width: channels of the features that leave, and of the tokens.
        head_width: channels of a head.
        project_tokens: whether the tokens' output passes a linear layer.
    """

    def __init__(self, in_width: int, width: int, *, head_width: int, project_tokens: bool = True) -> None:
        super().__init__()
        self.heads = max(1, width // head_width)
        self.feature_norm = nn.InstanceNorm3d(in_width)
        self.token_norm = nn.LayerNorm(width)
        self.feature_query_value = DepthwiseSeparableConv(in_width, 2 * width)
        self.token_query_value = nn.Linear(width, 2 * width, bias=False)
        self.feature_out = DepthwiseSeparableConv(width, width)
        self.token_out = nn.Linear(width, width, bias=False) if project_tokens else nn.Identity()
        self.shortcut = nn.Identity() if in_width == width else PreactivationUnit(in_width, width, kernel_size=1)
        self.inverted_residual = InvertedResidual(width)

    def forward(self, features: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """features (B, in_width, D, H, W), tokens (B, S, width) -> (B, width, D, H, W), (B, S, width)."""
        feature_query, feature_value = self.feature_query_value(self.feature_norm(features)).chunk(2, dim=1)
        token_query, token_value = self.token_query_value(self.token_norm(tokens)).chunk(2, dim=-1)
        of_features = [self._split_heads(x.flatten(2).transpose(1, 2)) for x in (feature_query, feature_value)]
        of_tokens = [self._split_heads(x) for x in (token_query, token_value)]
        # Each side's queries are the other side's keys.
        read_tokens = functional.scaled_dot_product_attention(of_features[0], of_tokens[0], of_tokens[1])
        read_features = functional.scaled_dot_product_attention(of_tokens[0], of_features[0], of_features[1])
        attended = self._merge_heads(read_tokens).transpose(1, 2).reshape(feature_query.shape)
        features = self.feature_out(attended) + self.shortcut(features)
        return self.inverted_residual(features), tokens + self.token_out(self._merge_heads(read_features))

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        # (B, N, head_width * heads), heads innermost -> (B, heads, N, head_width)
        return x.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2)

    @staticmethod
    def _merge_heads(x: torch.Tensor) -> torch.Tensor:
        # (B, heads, N, head_width) -> (B, N, head_width * heads), heads innermost
        return x.permute(0, 2, 3, 1).flatten(2)
