"""SHA-256 of what is on disk or in memory, as hexadecimal digits."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_BUFFER = 2**20


def digest_of_file(path: Path) -> str:
    """Of the bytes of a file of any size.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_BUFFER):
            digest.update(part)
    return digest.hexdigest()


def digest_of_json(content: Any) -> str:
    """Of what JSON can hold, in any order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_weights(weights: "Mapping[str, torch.Tensor]") -> str:
    """Of name, type, shape and bytes of every tensor, in the order of their names."""
    from torch import uint8  # not above: files and JSON need no torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy())
    return digest.hexdigest()
