"""The fusion block: context tokens and voxels attend to each other (paper, section 3.2)."""

import torch
from torch import nn
from torch.nn import functional

HEAD_WIDTH = 32
MLP_EXPANSION = 4


class MLP(nn.Module):
    """Linear, GELU, Linear over the last axis; `hidden_width` defaults to the input's width."""

    def __init__(self, in_width: int, out_width: int, hidden_width: int | None = None) -> None:
        super().__init__()
        hidden_width = in_width if hidden_width is None else hidden_width
        self.expand = nn.Linear(in_width, hidden_width)
        self.project = nn.Linear(hidden_width, out_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_width) -> (..., out_width)."""
        return self.project(functional.gelu(self.expand(x)))


class CrossAttention(nn.Module):
    """Pre-norm attention of a receiving sequence to a giving one, and the residual.

    There are floor(width / 32) heads of 32, at least one, so the inner width can differ from the width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD_WIDTH)
        self.inner_width = self.heads * HEAD_WIDTH
        self.norm_receiver = nn.LayerNorm(width)
        self.norm_giver = nn.LayerNorm(width)
        self.to_query = nn.Linear(width, self.inner_width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * self.inner_width, bias=False)
        self.to_out = nn.Linear(self.inner_width, width)

    def forward(
        self, receiver: torch.Tensor, giver: torch.Tensor, giver_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Receiver (B, N, C) after attention to giver (B, S, C); giver_mask (B, S) is False where nothing may look."""
        query = self._split_heads(self.to_query(self.norm_receiver(receiver)))
        key, value = self.to_key_value(self.norm_giver(giver)).chunk(2, dim=-1)
        mask = None if giver_mask is None else giver_mask[:, None, None, :]
        attended = functional.scaled_dot_product_attention(
            query, self._split_heads(key), self._split_heads(value), attn_mask=mask
        )
        return receiver + self.to_out(attended.transpose(1, 2).flatten(2))

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        # (B, N, heads * 32) -> (B, heads, N, 32)
        return x.unflatten(-1, (self.heads, HEAD_WIDTH)).transpose(1, 2)


class FusionBlock(nn.Module):
    """Tokens look at voxels, voxels look at the updated tokens; an MLP with residual after each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens_from_voxels = CrossAttention(width)
        self.voxels_from_tokens = CrossAttention(width)
        self.token_norm = nn.LayerNorm(width, eps=1e-4)
        self.token_mlp = MLP(width, width, MLP_EXPANSION * width)
        self.voxel_norm = nn.LayerNorm(width, eps=1e-4)
        self.voxel_mlp = MLP(width, width, MLP_EXPANSION * width)

    def forward(
        self, tokens: torch.Tensor, voxels: torch.Tensor, token_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens (B, S, C), voxels (B, N, C), token_mask (B, S) -> both updated, same shapes.

        A masked token still reads the voxels, but nothing reads it.
        """
        tokens = self.tokens_from_voxels(tokens, voxels)
        tokens = tokens + self.token_mlp(self.token_norm(tokens))
        voxels = self.voxels_from_tokens(voxels, tokens, token_mask)
        voxels = voxels + self.voxel_mlp(self.voxel_norm(voxels))
        return tokens, voxels

    def start_as_identity(self) -> None:
        """Set the last layer of every residual branch to zero: tokens and voxels pass unchanged until it learns."""
        for layer in (
            self.tokens_from_voxels.to_out,
            self.token_mlp.project,
            self.voxels_from_tokens.to_out,
            self.voxel_mlp.project,
        ):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def elements_per_voxel(self) -> int:
        """Numbers kept for the backward pass for each voxel: norms, projections, residuals, the MLP's hidden layer."""
        width = self.voxel_norm.normalized_shape[0]
        return (7 + 2 * MLP_EXPANSION) * width + 4 * self.voxels_from_tokens.inner_width
