"""What the paper's two networks, Hermes-R and Hermes-M, have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hermes_nnunet.networks.adapters import add_adapters
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.fusion import PoolSizes
from hermes_nnunet.networks.preactivation import Stem


class PaperNetwork(ContextualNetwork):
    """A network of the paper's release; plans name its arguments.

    Null rows take part in the attention, as in the release, so their number matters: see `rows_of`.

    Args:
        num_classes: number of tasks in the task pool.
        base_width: channels of the full resolution.
        num_modalities: number of modalities in the modality pool, "unknown" (the last row) included.
        tokens_per_modality: prior tokens of one modality.
        adapter_ranks: of the adapters of each addition.
        sizes: see `build` of the network.
    """

    attends_to_null_rows = True

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        deep_supervision: bool = False,
        *,
        base_width: int = 32,
        num_modalities: int = 2,
        tokens_per_modality: int = 10,
        adapter_ranks: Sequence[int] = (),
        **sizes: Any,
    ) -> None:
        super().__init__(tokens_per_modality)
        self.stem = Stem(input_channels, base_width)
        self.build(PoolSizes(num_classes, num_modalities, tokens_per_modality), base_width, **sizes)
        self.decoder.deep_supervision = deep_supervision
        add_adapters(self, adapter_ranks)

    @abstractmethod
    def build(self, pools: PoolSizes, base_width: int, *args: Any, **sizes: Any) -> None:
        """Make what follows the stem: the encoder's stages and `decoder`."""
