"""Small DICOM series, with label objects, as scanners and treatment planning write them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from dicom_writer import DicomWriter

from hermes_nnunet.data.conversion import Grid


@pytest.fixture
def dicom() -> DicomWriter:
    return DicomWriter()


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Voxels as stored, all different from their neighbours."""
    return lambda shape=(5, 8, 6), seed=0: np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


@pytest.fixture
def millimetres() -> Callable[[Grid, Sequence[float]], np.ndarray]:
    """Place of a voxel (x, y, z) in LPS, by its grid."""
    return lambda grid, voxel: (grid.affine @ (*voxel, 1.0))[:3] * (-1, -1, 1)
