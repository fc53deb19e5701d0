"""What every network of Hermes has in common: it is told contexts, and its heads read the posterior tokens."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from hermes_nnunet.collection import Context
from hermes_nnunet.networks.context_batch import ContextBatch, ContextualLayer
from hermes_nnunet.networks.heads import ModalityHead, TaskConditionedHead
from hermes_nnunet.networks.output import HermesOutput
from hermes_nnunet.networks.told_by_image import ToldByImage
from hermes_nnunet.networks.turning import turned, turned_back

# Logit of a channel that shows no task. nnU-Net's sliding window multiplies it by up to 10 and sums some dozen of them
# in half precision, so this must stay far from -65504.
ABSENT_LOGIT = -100.0


class ContextualDecoder(nn.Module):
    """A decoder with the heads: one a supervised output, full resolution first, and that of the modality.

    Attributes:
        deep_supervision: nnU-Net's switch; without it only the head of the full resolution runs.
    """

    heads: nn.ModuleList

    def __init__(self, *, deep_supervision: bool = False) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision

    def add_heads(self, heads: Iterable[TaskConditionedHead], modality_head: ModalityHead) -> None:
        """Last step of a decoder's constructor: optimizer states in checkpoints go by the order of the parameters."""
        self.heads = nn.ModuleList(heads)
        # See FusionPlace: its classes belong to one collection.
        self.seg_layers = nn.ModuleDict({"modality_head": modality_head})

    @property
    def modality_head(self) -> nn.Module:
        return self.seg_layers["modality_head"]


class ContextualNetwork(nn.Module, ABC):
    """A network that is told the context of every image (paper, section 3).

    Attributes:
        attends_to_null_rows: whether padded rows of a context take part in the attention, so that the number of rows
            matters.
        tokens_per_modality: prior tokens of one modality.
        told_by_image: contexts that images with a mark choose from, in place of that which was set before; None again
            after `set_context`.
    """

    attends_to_null_rows = False
    decoder: ContextualDecoder

    def __init__(self, tokens_per_modality: int) -> None:
        super().__init__()
        self.tokens_per_modality = tokens_per_modality
        self.context: ContextBatch | None = None
        self.told_by_image: ToldByImage | None = None

    @property
    @abstractmethod
    def supervision_scales(self) -> list[list[float]]:
        """Size of each supervised output in relation to the patch, an axis each."""

    @property
    @abstractmethod
    def supervision_weights(self) -> list[float]:
        """Weight of each supervised output in the loss; they sum to 1."""

    @property
    def layers_without_tokens(self) -> tuple[nn.Module, ...]:
        """The first layers, at resolutions that no tokens meet; none where the network does not say."""
        return ()

    @abstractmethod
    def features_and_posteriors(
        self, x: torch.Tensor, context: ContextBatch
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Feature map that each head reads (or more maps), and the posterior tokens (B, R + M, C) of every place."""

    def rows_of(self, contexts: Sequence[Context], padded_to: int | None = None) -> int | None:
        """Rows with which a batch of contexts is run; None for as many as its largest context has.

        Where null rows take part in the attention, the largest context's and one null row, as in the paper's release:
        its training cuts the batch of each GPU so, its evaluation that of each case. Elsewhere `padded_to`.
        """
        if not self.attends_to_null_rows:
            return padded_to
        return max(len(context.tasks) for context in contexts) + 1

    def set_context(self, context: ContextBatch) -> None:
        """Set the contexts of the following batches: one for each case, or one for all of them."""
        self.context = context
        self.told_by_image = None
        self._tell(context)

    def _tell(self, context: ContextBatch) -> None:
        for module in self.modules():
            if isinstance(module, ContextualLayer):
                module.tell(context)

    def _told_by(self, told_by_image: ToldByImage, x: torch.Tensor) -> torch.Tensor:
        """Set the context of an image and return its patches without the mark."""
        x, context = told_by_image(x)
        if context is not self.context:
            self.set_context(context)
            self.told_by_image = told_by_image
        return x

    def forward(self, x: torch.Tensor) -> HermesOutput | torch.Tensor:
        """Images (B, channels, D, H, W) -> HermesOutput; in evaluation without deep supervision logits (B, T, D, H, W).

        Raises:
            RuntimeError: no context was set.
        """
        if self.context is None:
            msg = "call set_context before running the network"
            raise RuntimeError(msg)
        if self.told_by_image is not None:
            x = self._told_by(self.told_by_image, x)
        if not self.context.more:
            return self._run(x, self.context)
        return self._run_all(x, (self.context, *self.context.more))

    def _run_all(self, x: torch.Tensor, contexts: Sequence[ContextBatch]) -> torch.Tensor:
        """Logits of several contexts, each in the channels that it shows."""
        together: torch.Tensor | None = None
        for context in contexts:
            assert context.channel_rows is not None, "several contexts are for prediction, which names its channels"
            self._tell(context)
            logits = self._run(x, context)
            assert isinstance(logits, torch.Tensor), "several contexts are for prediction, without deep supervision"
            shown = context.channel_rows >= 0
            if together is None:
                together = logits
            else:
                together[:, shown] = logits[:, shown]
        assert together is not None
        return together

    def modality_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of what modality images (B, channels, D, H, W) are, with the context that was set: (B, modalities).

        Raises:
            RuntimeError: no context was set.
        """
        if self.context is None:
            msg = "call set_context before running the network"
            raise RuntimeError(msg)
        context = self.context.on(x.device).repeated(x.shape[0])
        _, posteriors = self.features_and_posteriors(turned(x, context.turn), context)
        return self._modality_of(torch.cat(posteriors, dim=-1))

    def _modality_of(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.decoder.modality_head(tokens[:, -self.tokens_per_modality :])

    def _run(self, x: torch.Tensor, context: ContextBatch) -> HermesOutput | torch.Tensor:
        context = context.on(x.device).repeated(x.shape[0])
        features, posteriors = self.features_and_posteriors(turned(x, context.turn), context)
        tokens = torch.cat(posteriors, dim=-1)
        task_tokens = tokens[:, : -self.tokens_per_modality]
        if not (self.training or self.decoder.deep_supervision):
            tokens_of_channels, shown = context.in_channels(task_tokens)
            tasks_of_channels, _ = context.in_channels(context.task_index)
            logits = self.decoder.heads[0](tokens_of_channels, features[0], tasks_of_channels)
            logits = turned_back(logits, context.turn)
            # In place: a copy of 70 channels takes a hundredth of the network's time.
            return logits.masked_fill_(~shown[:, :, None, None, None], ABSENT_LOGIT)
        heads = self.decoder.heads if self.decoder.deep_supervision else self.decoder.heads[:1]
        logits = [head(task_tokens, features[place], context.task_index) for place, head in enumerate(heads)]
        logits = [turned_back(own, context.turn) for own in logits]
        return HermesOutput(logits, self._modality_of(tokens), context)
