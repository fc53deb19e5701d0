"""Images and label maps on other voxels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from hermes_nnunet.planning.labels.decision import decide
from hermes_nnunet.planning.labels.scores import Box
from hermes_nnunet.planning.resampling.axis import Axis
from hermes_nnunet.planning.resampling.grid import Resampled, nearest_axis

# As many as nnU-Net's torch resampling takes: cases are preprocessed in several processes.
THREADS = 4


def resample_linear(
    data: np.ndarray,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    is_seg: bool = False,
    force_separate_z: bool | None = None,
) -> np.ndarray:
    """What plans name as `resampling_fn_data` and `resampling_fn_seg`: as nnU-Net's resample_torch_fornnunet does.

    Args:
        data: (channels, d, h, w).
        new_shape: an axis of none gets one voxel: images thinner than half the new spacing stay images.
        is_seg: data are label values: each voxel gets that with the largest share.
        force_separate_z: as nnU-Net has it; None lets the spacing decide.

    Returns:
        (channels, D, H, W): images as float32, label maps as int16.
    """
    axis = nearest_axis(current_spacing, new_spacing, force_separate_z)
    new_shape = [max(1, int(size)) for size in new_shape]
    in_plane = list(new_shape)
    if axis is not None:
        in_plane[axis] = data.shape[1 + axis]
    data = data.astype(np.int16 if is_seg else np.float32, copy=False)
    if data.shape[1:] != tuple(in_plane):
        with _few_threads():
            data = np.stack([(_resample_labels if is_seg else _resample_image)(channel, in_plane) for channel in data])
    return data if axis is None else data.take(Axis.nearest(in_plane[axis], new_shape[axis]).lower, 1 + axis)


def _resample_image(image: np.ndarray, new_shape: Sequence[int]) -> np.ndarray:
    given = torch.from_numpy(image)
    return Resampled(1, given.shape, lambda _, box: given[box], new_shape).whole(0).numpy()


def _resample_labels(labels: np.ndarray, new_shape: Sequence[int]) -> np.ndarray:
    values = _values_of(labels)

    def given(index: int, box: Box) -> torch.Tensor:
        return torch.from_numpy(labels[box] == values[index])

    shares = Resampled(len(values), labels.shape, given, new_shape)
    return decide(shares, 0.0, values, [[index] for index in range(len(values))]).numpy()


def _values_of(labels: np.ndarray) -> list[int]:
    lowest, highest = int(labels.min()), int(labels.max())
    counts = np.zeros(highest - lowest + 1, dtype=np.int64)
    for plane in labels:  # counting makes 8 bytes of a voxel: a plane stays in the processor's cache
        counts += np.bincount(plane.ravel() - lowest, minlength=len(counts))
    return [int(value) + lowest for value in np.flatnonzero(counts)]


@contextmanager
def _few_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(min(THREADS, threads))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
