"""Reading a checkpoint of plain nnU-Net."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.core.checkpoints import best_checkpoint, read_checkpoint
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.plain_plans import PlainUNet

WEIGHTS_KEY = "network_weights"
_WRAPPERS = ("module.", "_orig_mod.")
# PlainConvUNet and ResidualEncoderUNet have both.
_PARTS = ("encoder.stages.", "decoder.transpconvs.")
# nnU-Net's decoder holds its encoder, so every tensor of it is in the file twice.
_AGAIN = "decoder.encoder."
_OF_HERMES = (".seg_layers.priors.", "decoder.heads.")


@dataclass(frozen=True)
class PlainCheckpoint:
    """The weights of a plain U-Net.

    Attributes:
        path: of the file.
        weights: by their names in the network, each once.
        axes: axis of the weights that sees each axis of an image, z y x.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    axes: tuple[int, ...]


def read_plain_checkpoint(path: Path) -> PlainCheckpoint:
    """Read a checkpoint, without running code.

    Args:
        path: the file, a fold's folder, or the folder of a model with one fold.

    Raises:
        HermesError: it is missing or damaged, holds more than tensors and numbers, or is not of a 3D U-Net of plain
            nnU-Net.
    """
    path = _file(path)
    content = read_checkpoint(path)
    weights = content.get(WEIGHTS_KEY) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        there = f" (it holds {listed(content, 5)})" if isinstance(content, Mapping) else ""
        raise HermesError(f"{path} is no checkpoint of nnU-Net{there}: give a checkpoint_*.pth that nnU-Net wrote")
    weights = {_bare(name): tensor for name, tensor in weights.items()}
    if any(part in name for name in weights for part in _OF_HERMES):
        raise HermesError(
            f"{path} is of a universal model, not of plain nnU-Net: train with HERMES_START_FROM={path}, which takes "
            "its tasks over as well"
        )
    for part in _PARTS:
        if not any(name.startswith(part) for name in weights):
            raise HermesError(
                f"{path} is not of a U-Net of nnU-Net: no weight's name begins with {part}, but there are "
                f"{listed(weights, 3)}"
            )
    dimensions = {tensor.ndim - 2 for name, tensor in weights.items() if name.endswith("conv.weight")}
    if dimensions != {3}:
        raise HermesError(
            f"{path} is {'2D' if dimensions == {2} else 'not 3D'}, and Hermes is 3D: give a checkpoint of a 3d "
            "configuration"
        )
    return PlainCheckpoint(
        path, {name: tensor for name, tensor in weights.items() if not name.startswith(_AGAIN)}, _axes(content, path)
    )


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if path.name.startswith("fold_"):
        path, folds = path.parent, [path.name]
    else:
        folds = sorted(file.parent.name for file in path.glob(f"fold_*/{best_checkpoint(path)}"))
    if not folds:
        raise HermesError(f"{path} has no fold with a checkpoint: give the checkpoint's file")
    if len(folds) > 1:
        raise HermesError(f"{path} has several folds ({listed(folds)}): give the folder of one of them")
    return path / folds[0] / best_checkpoint(path)


def _bare(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _axes(content: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    """Those of the plans in the checkpoint; untransposed where it holds none."""
    arguments = content.get("init_args")
    if not isinstance(arguments, Mapping) or not isinstance(arguments.get("plans"), Mapping):
        return (0, 1, 2)
    return PlainUNet.of_plans(arguments["plans"], arguments.get("configuration", ""), str(path)).axes
