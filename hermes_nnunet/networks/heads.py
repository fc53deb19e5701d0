"""What the posterior tokens become: classifiers of voxels, and a guess of the modality."""

import torch
from torch import nn

from hermes_nnunet.networks.attention import MLP


class TaskConditionedHead(nn.Module):
    """Turns posterior task tokens into the weights of a 1x1x1 classifier, one logit channel a task, no bias."""

    def __init__(self, token_width: int, feature_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_width)
        self.reduce = MLP(token_width, feature_width)
        self.refine = MLP(feature_width, feature_width)

    def forward(self, task_tokens: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """task_tokens (B, R, token_width), features (B, C, D, H, W) -> logits (B, R, D, H, W)."""
        weights = self.refine(self.reduce(self.norm(task_tokens)))
        return torch.bmm(weights, features.flatten(2)).unflatten(2, features.shape[2:])


class ModalityHead(nn.Module):
    """Predicts the modality of an image from its posterior modality tokens."""

    def __init__(self, token_width: int, num_modalities: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_width)
        self.classify = MLP(token_width, num_modalities)

    def forward(self, modality_tokens: torch.Tensor) -> torch.Tensor:
        """modality_tokens (B, M, token_width) -> logits (B, modalities)."""
        return self.classify(self.norm(modality_tokens).mean(dim=1))
