"""What the posterior tokens become: classifiers of voxels, and a guess of the modality."""

import torch
from torch import nn

from hermes_nnunet.networks.attention import MLP
from hermes_nnunet.networks.lookup import looked_up

# A probability of 2 %: most voxels belong to no task.
FIRST_LOGIT = -4.0


class TaskConditionedHead(nn.Module):
    """Turns posterior task tokens into the weights of a 1x1x1 classifier: one logit channel for each task, no bias."""

    def __init__(self, token_width: int, feature_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_width)
        self.reduce = MLP(token_width, feature_width)
        self.refine = MLP(feature_width, feature_width)

    def classifiers(self, task_tokens: torch.Tensor) -> torch.Tensor:
        """Weights (B, R, C) that the tokens (B, R, token_width) give."""
        return self.refine(self.reduce(self.norm(task_tokens)))

    def forward(self, task_tokens: torch.Tensor, features: torch.Tensor, task_index: torch.Tensor) -> torch.Tensor:
        """Logits (B, R, D, H, W).

        Args:
            task_tokens: (B, R, token_width).
            features: (B, C, D, H, W).
            task_index: (B, R) the rows' tasks; heads that keep something for each task need it.
        """
        return torch.bmm(self.classifiers(task_tokens), features.flatten(2)).unflatten(2, features.shape[2:])


class AdaptedClassifierHead(TaskConditionedHead):
    """A learned classifier for each task, to which the posterior tokens add what they know about the image; and a bias.

    It starts as an ordinary 1x1x1 convolution with a channel for each task: the tokens add nothing yet, and a voxel
    belongs to a task with the probability of FIRST_LOGIT.
    """

    def __init__(self, token_width: int, feature_width: int, num_tasks: int) -> None:
        super().__init__(token_width, feature_width)
        # See FusionPlace: its rows belong to one collection.
        self.seg_layers = nn.ModuleDict({"classifiers": TaskClassifiers(num_tasks, feature_width)})
        nn.init.zeros_(self.refine.project.weight)
        nn.init.zeros_(self.refine.project.bias)

    def forward(self, task_tokens: torch.Tensor, features: torch.Tensor, task_index: torch.Tensor) -> torch.Tensor:
        """See TaskConditionedHead."""
        weights, biases = self.seg_layers["classifiers"](task_index)
        weights = weights + self.classifiers(task_tokens)
        logits = torch.baddbmm(biases[..., None], weights, features.flatten(2))
        return logits.unflatten(2, features.shape[2:])


class TaskClassifiers(nn.Module):
    """Weights and bias of a 1x1x1 classifier for each task of the pool, and for the null row."""

    def __init__(self, num_tasks: int, feature_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_tasks + 1, feature_width))
        self.bias = nn.Parameter(torch.full((num_tasks + 1,), FIRST_LOGIT))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, task_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """task_index (B, R) -> weights (B, R, feature_width), biases (B, R)."""
        rows = task_index.remainder(len(self.weight))  # the null row, -1, is the last
        return looked_up(self.weight, rows), looked_up(self.bias, rows)


class ModalityHead(nn.Module):
    """Predicts the modality of an image from its posterior modality tokens."""

    def __init__(self, token_width: int, num_modalities: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_width)
        self.classify = MLP(token_width, num_modalities)

    def forward(self, modality_tokens: torch.Tensor) -> torch.Tensor:
        """modality_tokens (B, M, token_width) -> logits (B, modalities)."""
        return self.classify(self.norm(modality_tokens).mean(dim=1))
