"""Which of the paper's networks a set of released tensors belongs to, and how large it is."""

from collections.abc import Mapping
from typing import Any

import torch

from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.networks.paper_network import PaperNetwork
from hermes_nnunet.weights.released_names import our_name

# A part that only one of the networks has.
NETWORK_OF_PART: dict[str, type[PaperNetwork]] = {"prior_init_fuse_2.": HermesResUNet, "map_fusion.": HermesMedFormer}
STEM = "inc.conv1.weight"
TASK_POOL: dict[type[PaperNetwork], str] = {
    HermesResUNet: "prior_init_fuse_2.task_prior",
    HermesMedFormer: "down2.prior_selection.task_prior",
}
MODALITY_POOL: dict[type[PaperNetwork], str] = {
    HermesResUNet: "prior_init_fuse_2.modality_prior",
    HermesMedFormer: "down2.prior_selection.modality_prior",
}
LARGEST_HEAD_WIDTH = 32


def network_class_of(weights: Mapping[str, torch.Tensor], where: str) -> type[PaperNetwork]:
    """HermesResUNet or HermesMedFormer, whichever the tensors' names belong to.

    Raises:
        HermesError: they belong to neither, or some of the names are of no part of the network.
    """
    for part, network_class in NETWORK_OF_PART.items():
        if any(name.startswith(part) for name in weights):
            foreign = [name for name in weights if our_name(name, network_class) is None]
            if foreign:
                raise HermesError(
                    f"{where}: {network_class.__name__} has no place for {listed(foreign)}: the checkpoint is of "
                    f"another topology"
                )
            return network_class
    raise HermesError(
        f"{where} is neither Hermes-R nor Hermes-M (it has {listed(weights, 3)}): import a checkpoint of the paper's "
        f"release"
    )


def count_rows(weights: Mapping[str, torch.Tensor], network_class: type[PaperNetwork], where: str) -> tuple[int, int]:
    """Rows of the task pool without the null row, and rows of the modality pool."""
    tasks, modalities = (_shape(weights, pool[network_class], where)[0] for pool in (TASK_POOL, MODALITY_POOL))
    return tasks - 1, modalities


def network_arguments(
    weights: Mapping[str, torch.Tensor], network_class: type[PaperNetwork], where: str, head_width: int | None = None
) -> dict[str, Any]:
    """Arguments of the network that the tensors belong to; pool sizes of the modalities included, of tasks not.

    Args:
        head_width: channels of a head of HermesMedFormer, which no tensor tells. Default: 32, or twice the base width
            where that is smaller, which fits the released network and the reference networks.

    Raises:
        HermesError: a tensor that tells a size is missing.
    """
    base_width = _shape(weights, STEM, where)[0]
    _, tokens_per_modality, _ = _shape(weights, MODALITY_POOL[network_class], where)
    arguments = {
        "base_width": base_width,
        "num_modalities": _shape(weights, MODALITY_POOL[network_class], where)[0],
        "tokens_per_modality": tokens_per_modality,
    }
    if network_class is HermesResUNet:
        return arguments

    def width(name: str) -> int:
        return _shape(weights, name, where)[0]

    def count(prefix: str) -> int:
        return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})

    stages = [f"down{number}" for number in (2, 3, 4)] + [f"up{number}" for number in (1, 2)]
    return {
        **arguments,
        "widths": [
            width("down1.patch_merging.reduction.pointwise.weight"),
            *(_shape(weights, f"{stage}.prior_selection.task_prior", where)[1] for stage in stages),
            width("up3.conv_blocks.0.conv1.conv.weight"),
            width("up4.conv_blocks.0.conv1.conv.weight"),
        ],
        "attention_blocks": [count(f"{stage}.trans_blocks.blocks.") for stage in stages],
        "num_codes": width("down2.map_gen.semantic_proj.weight"),
        "head_width": min(LARGEST_HEAD_WIDTH, 2 * base_width) if head_width is None else head_width,
        "fusion_width": width("map_fusion.in_proj.0.weight"),
        "fusion_depth": count("map_fusion.fusion.layers."),
    }


def _shape(weights: Mapping[str, torch.Tensor], name: str, where: str) -> tuple[int, ...]:
    if name not in weights:
        raise HermesError(f"{where} is not complete: {name} is missing")
    return tuple(weights[name].shape)
