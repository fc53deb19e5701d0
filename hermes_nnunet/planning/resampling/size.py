"""Whether an image on other voxels can be held by this machine, before memory is taken for it."""

from collections.abc import Sequence
from functools import cache
from math import prod

from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

from hermes_nnunet.core.memory import total_memory
from hermes_nnunet.errors import HermesError

_VOXEL_BYTES = 4
# Where the system does not say how much memory it has.
_ENOUGH_BYTES = 2**40


def check_size(shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float], name: str) -> None:
    """See that an image does not become larger than all memory, as one does whose header tells a wrong spacing.

    Args:
        shape: of all channels (channels, D, H, W).
        spacing: mm along the last axes (D, H, W).
        new_spacing: mm along those of them that are resampled, which are the last.

    Raises:
        HermesError: it does; `name` begins the message.
    """
    new_spacing = [*spacing[: len(spacing) - len(new_spacing)], *new_spacing]
    new_shape = [int(side) for side in compute_new_shape(shape[1:], spacing, new_spacing)]
    size = shape[0] * prod(new_shape) * _VOXEL_BYTES
    if size > memory_bytes():
        raise HermesError(
            f"{name}: voxels of {_mm(spacing)} mm would become {' x '.join(map(str, new_shape))} of {_mm(new_spacing)} "
            f"mm, which take {size / 2**30:.4g} GiB where memory is {memory_bytes() / 2**30:.4g} GiB: mend the spacing "
            "in the image's header, or cut the image"
        )


@cache
def memory_bytes() -> int:
    """All memory that this process may have."""
    return total_memory() or _ENOUGH_BYTES


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{length:.6g}" for length in spacing)
