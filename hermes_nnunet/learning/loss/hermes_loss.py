"""Binary cross-entropy and Dice of annotated tasks, and the modality's cross-entropy (paper, section 3.4)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from hermes_nnunet.learning.distributed.averaging import batch_means, group_means
from hermes_nnunet.learning.loss.voxel_sums import NO_VALUE, counted_voxels, voxel_sums
from hermes_nnunet.networks.context_batch import NULL_ROW
from hermes_nnunet.networks.output import HermesOutput

EPSILON = 1e-6
# Share of a patch: so many false positives count like a Dice of one half if the patch does not show the task.
FEW_VOXELS = 1e-3
FP_WEIGHT_RANGE = (0.2, 0.8)
MODALITY_LOSS_WEIGHT = 0.01


class HermesLoss(nn.Module):
    """Loss of a batch whose cases annotate different tasks.

    In a distributed training the mean over the processes' losses is the loss of the whole batch, so all processes have
    to compute it together.

    Args:
        task_values: label values of each task of the collection, in the order of the task pool.
        unknown_modality: row of the modality pool for which no modality loss is computed.
        scale_weights: weight of each deep-supervision output, highest resolution first.
        ignore_label: label value whose voxels are ignored.
        cross_entropy_weight: weight of the binary cross-entropy, that of the Dice loss being 1; 1 in the paper.
        adaptive_dice: whether the larger kind of error weighs more in the Dice, as in the paper.
        dice_exponent: e of the loss (1 - D^e) / e, with the soft Dice D, for tasks that a patch shows. 1 gives the
            paper's loss 1 - D, and 0 the limit -log D (Wong et al., MICCAI 2018). They agree once a task is found, but
            before that, while its probabilities are near 0, the gradient of 1 - D vanishes next to those of tasks that
            are found. May be changed during the training.
        absent_weight: weight of a Dice loss for tasks that a patch does not show, so that false positives cost
            something there: -log(FEW / (FEW + FP)).
        exclusion_weight: weight of the mean loss of a batch's extra tasks (see ContextBatch), that of the annotated
            tasks being 1. The loss of an extra task is its mean binary cross-entropy over the voxels that are known not
            to belong to it (exclusion loss: Shi et al., Medical Image Analysis 2021). If these are all voxels of an
            image, the loss of absent_weight is added.
        cases_per_mean: take the mean over the (case, task) pairs of so many cases, and then over these means, as in a
            training whose processes have so many cases each; None for the mean over all pairs.
    """

    def __init__(
        self,
        task_values: Sequence[Sequence[int]],
        *,
        unknown_modality: int,
        scale_weights: Sequence[float] = (1.0,),
        ignore_label: int | None = None,
        cross_entropy_weight: float = 1.0,
        adaptive_dice: bool = True,
        dice_exponent: float = 1.0,
        absent_weight: float = 0.0,
        exclusion_weight: float = 1.0,
        cases_per_mean: int | None = None,
    ) -> None:
        super().__init__()
        table = torch.full((len(task_values) + 1, max(map(len, task_values))), NO_VALUE)
        for task, values in enumerate(task_values):
            table[task, : len(values)] = torch.tensor(values)
        self.task_values: torch.Tensor
        self.register_buffer("task_values", table, persistent=False)
        self.unknown_modality = unknown_modality
        self.scale_weights = tuple(scale_weights)
        self.ignore_label = ignore_label
        self.cross_entropy_weight = cross_entropy_weight
        self.dice_loss = adaptive_dice_loss if adaptive_dice else plain_dice_loss
        self.dice_exponent = dice_exponent
        self.absent_weight = absent_weight
        self.exclusion_weight = exclusion_weight
        self.cases_per_mean = cases_per_mean

    def forward(self, output: HermesOutput, target: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        """Scalar loss; target is the label map (B, 1, D, H, W), or a list of it at each output's resolution."""
        targets = [target] if isinstance(target, torch.Tensor) else target
        context = output.context
        own, extra = [], []
        for logits, labels in zip(output.logits, targets, strict=False):
            sums = self._sums(logits, labels, context.task_index, context.negatives)
            own.append(
                self._own_terms(sums[..., : context.own_rows], labels, context.task_index[:, : context.own_rows])
            )
            if context.negatives is not None:
                extra.append(self._extra_terms(sums[..., context.own_rows :], context.negatives))
        modality_index = context.modality_index if context.true_modality is None else context.true_modality
        terms = (*own, *extra, self.modality_terms(output.modality_logits, modality_index))
        *means, modality = (
            batch_means(terms) if self.cases_per_mean is None else group_means(terms, self.cases_per_mean)
        )
        segmentation = self._weighted(means[: len(own)])
        if extra:
            segmentation = segmentation + self.exclusion_weight * self._weighted(means[len(own) :])
        return segmentation + MODALITY_LOSS_WEIGHT * modality

    def segmentation_terms(
        self, logits: torch.Tensor, labels: torch.Tensor, task_index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """BCE + Dice loss of logits (B, R, D, H, W), and which (case, task) pairs are real; both (B, R)."""
        return self._own_terms(self._sums(logits, labels, task_index), labels, task_index)

    def pair_losses(
        self, logits: torch.Tensor, labels: torch.Tensor, task_index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean voxel BCE (B, R) and Dice loss (B, R) of every row; padded rows hold no meaning."""
        return self._own_losses(self._sums(logits, labels, task_index), labels)

    def _sums(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        task_index: torch.Tensor,
        negatives: torch.Tensor | None = None,
    ) -> torch.Tensor:
        values = self.task_values.to(logits.device)[task_index]
        return voxel_sums(logits, labels, values, self.ignore_label, negatives)

    def _own_terms(
        self, sums: torch.Tensor, labels: torch.Tensor, task_index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        bce, dice = self._own_losses(sums, labels)
        counted = (task_index != NULL_ROW) & (counted_voxels(labels, self.ignore_label) > 0)[:, None]
        return self.cross_entropy_weight * bce + dice, counted

    def _own_losses(self, sums: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bce, true_positive, predicted, size = sums
        voxels = counted_voxels(labels, self.ignore_label).clamp(min=1)[:, None]
        dice = self.dice_loss(true_positive, predicted - true_positive, size - true_positive)
        # Without a weight the loss of the absent is the paper's constant, 1.
        absent = self._absent_loss(predicted, voxels) if self.absent_weight else dice
        return bce / voxels, torch.where(size > 0, with_exponent(dice, self.dice_exponent), absent)

    def _extra_terms(self, sums: torch.Tensor, negatives: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the extra tasks, and which of them have voxels that count; both (B, E)."""
        bce, _, predicted, voxels = sums
        some = voxels.clamp(min=1)
        # Background counts for a task only that no voxel of the image belongs to.
        absent = negatives[..., 0] * self._absent_loss(predicted, some)
        return bce / some + absent, voxels > 0

    def _absent_loss(self, predicted: torch.Tensor, voxels: torch.Tensor) -> torch.Tensor:
        return self.absent_weight * torch.log1p(predicted / (FEW_VOXELS * voxels))

    def _weighted(self, means: Sequence[torch.Tensor]) -> torch.Tensor:
        return sum((weight * mean for weight, mean in zip(self.scale_weights, means, strict=False)), torch.zeros(()))

    def modality_terms(
        self, modality_logits: torch.Tensor, modality_index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy, and which modalities are known; both (B,). The unknown stay part of the graph."""
        entropy = functional.cross_entropy(modality_logits.float(), modality_index, reduction="none")
        return entropy, modality_index != self.unknown_modality


def adaptive_dice_loss(
    true_positive: torch.Tensor, false_positive: torch.Tensor, false_negative: torch.Tensor
) -> torch.Tensor:
    """1 - TP / (TP + a FP + b FN) of soft counts, where the larger kind of error weighs more (a = FP / (FP + FN))."""
    fp_weight = (false_positive / (false_positive + false_negative + EPSILON)).clamp(*FP_WEIGHT_RANGE)
    errors = fp_weight * false_positive + (1 - fp_weight) * false_negative
    return 1 - true_positive / (true_positive + errors + EPSILON)


def plain_dice_loss(
    true_positive: torch.Tensor, false_positive: torch.Tensor, false_negative: torch.Tensor
) -> torch.Tensor:
    """1 - 2 TP / (2 TP + FP + FN) of soft counts."""
    return 1 - 2 * true_positive / (2 * true_positive + false_positive + false_negative + EPSILON)


def with_exponent(dice_loss: torch.Tensor, exponent: float) -> torch.Tensor:
    """(1 - D^e) / e of the Dice D = 1 - dice_loss, and -log D for an exponent e of 0."""
    if exponent == 1:
        return dice_loss
    logarithm = torch.log((1 - dice_loss).clamp(min=EPSILON))
    return -logarithm if exponent == 0 else -torch.expm1(exponent * logarithm) / exponent
