"""Reading a checkpoint of the paper's release."""

import os
import pickle
import zipfile
from pathlib import Path

import torch

from hermes_nnunet.errors import HermesError

WEIGHTS_KEY = "model_state_dict"
AVERAGED_WEIGHTS_KEY = "ema_model_state_dict"
# Of a network that was saved inside DistributedDataParallel.
WRAPPER_PREFIX = "module."


def read_released_weights(path: str | os.PathLike[str], *, averaged: bool) -> dict[str, torch.Tensor]:
    """Tensors of a released checkpoint, float32, by their released names.

    Args:
        averaged: take the exponential moving average of the weights, which the paper evaluates.

    Raises:
        HermesError: there is no such file, it is truncated, holds more than tensors, or is of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise HermesError(f"{path} does not exist: give the .pth file of the release")
    content = _load(path)
    if not isinstance(content, dict) or WEIGHTS_KEY not in content:
        found = f", but {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else ""
        raise HermesError(
            f"{path} is no checkpoint of the release: it has no '{WEIGHTS_KEY}'{found}; nnU-Net's own checkpoints need "
            f"no import"
        )
    key = AVERAGED_WEIGHTS_KEY if averaged else WEIGHTS_KEY
    weights = content.get(key)
    if not weights:
        raise HermesError(f"{path} has no averaged weights ('{key}'): import it without --ema")
    if not isinstance(weights, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise HermesError(f"{path}: '{key}' must hold tensors and nothing else: download the file again")
    return {name.removeprefix(WRAPPER_PREFIX): tensor.float() for name, tensor in weights.items()}


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            reason = str(error).split("\n")[0]
            raise HermesError(
                f"{path} holds more than tensors, which could run code when loaded, so it is refused ({reason}): "
                f"get it from its authors as tensors only"
            ) from None
        raise HermesError(f"{path} is no checkpoint: give the .pth file of the release") from None
    except MemoryError:
        raise
    except Exception as error:  # of damaged files torch's unpickler raises KeyError, TypeError and others, too
        reason = str(error).split("\n")[0].split(". ")[0]
        raise HermesError(f"{path} is damaged or not complete ({reason}): download it again") from None
