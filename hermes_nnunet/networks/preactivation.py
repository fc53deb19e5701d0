"""Convolution blocks of the paper's networks: normalise, activate, convolve."""

import torch
from torch import nn

FEATURE_NORM_EPS = 1e-4
# By the words of the paper's release.
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "swish": nn.SiLU}


class PreactivationUnit(nn.Module):
    """Instance normalisation without affine, ReLU (or no activation), convolution without bias."""

    def __init__(
        self, in_width: int, out_width: int, *, kernel_size: int = 3, groups: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm3d(in_width, eps=FEATURE_NORM_EPS)
        self.activation = nn.ReLU(inplace=True) if activate else nn.Identity()
        self.conv = nn.Conv3d(in_width, out_width, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_width, D, H, W) -> (B, out_width, D, H, W)."""
        return self.conv(self.activation(self.norm(x)))


class ResidualBlock(nn.Module):
    """Two pre-activation units and a shortcut, which is a unit itself where the width changes."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.units = nn.Sequential(PreactivationUnit(in_width, out_width), PreactivationUnit(out_width, out_width))
        self.shortcut = nn.Identity() if in_width == out_width else PreactivationUnit(in_width, out_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_width, D, H, W) -> (B, out_width, D, H, W)."""
        return self.units(x) + self.shortcut(x)


class Stem(nn.Sequential):
    """The first convolution of an image, and a residual block."""

    def __init__(self, input_channels: int, width: int) -> None:
        super().__init__(nn.Conv3d(input_channels, width, 3, padding=1, bias=False), ResidualBlock(width, width))


class TwoResidualBlocks(nn.Sequential):
    """Two residual blocks, the first of which changes the width."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__(ResidualBlock(in_width, out_width), ResidualBlock(out_width, out_width))


def set_activation(network: nn.Module, activation: str) -> None:
    """Give every pre-activation unit that activates another activation than ReLU."""
    if activation == "relu":
        return
    for unit in network.modules():
        if isinstance(unit, PreactivationUnit) and not isinstance(unit.activation, nn.Identity):
            unit.activation = ACTIVATIONS[activation]()


def upsample(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Trilinear interpolation of (B, C, D, H, W) to `size` (D', H', W'), corner voxels on corner voxels."""
    return nn.functional.interpolate(x, size=size, mode="trilinear", align_corners=True)
