"""The precision of automatic mixed precision on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device is a GPU that computes in bfloat16 itself (NVIDIA: compute capability 8 or more)."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def bfloat16_by_default(device: torch.device) -> Iterator[None]:
    """Within the block torch.autocast(device.type) uses bfloat16 where it is not told a dtype, as by nnU-Net."""
    before = torch.get_autocast_dtype(device.type)
    torch.set_autocast_dtype(device.type, torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_dtype(device.type, before)
