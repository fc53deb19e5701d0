"""How a torso looks in CT, T1, T2 and PET: tissue contrast, blur, noise, and what disturbs each of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from hermes_nnunet.data.phantoms.anatomy import Masks

Look = Callable[[Masks, np.ndarray, Sequence[float], np.random.Generator], np.ndarray]


class _Tissue(NamedTuple):
    """How bright a structure is: Hounsfield units, signal in both weightings of MRI, uptake of the tracer."""

    ct: float
    t1: float
    t2: float
    pet: float


# The liver takes up most of the tracer, as with many of them: were the heart or the kidneys hotter, they would be as
# bright as the lesion once the highest two per cent are clipped.
_TISSUES = {
    "body": _Tissue(50, 350, 180, 0.5),
    "fat": _Tissue(-100, 900, 600, 0.2),
    "lungs": _Tissue(-820, 40, 30, 0.3),
    "stomach": _Tissue(-700, 60, 50, 0.3),
    "liver": _Tissue(130, 540, 240, 2.0),
    "left_kidney": _Tissue(240, 290, 640, 1.2),
    "right_kidney": _Tissue(240, 290, 640, 1.2),
    "spine": _Tissue(400, 650, 330, 0.9),
    "disc": _Tissue(90, 260, 500, 0.5),
    "heart": _Tissue(190, 190, 420, 1.0),
    "lesion": _Tissue(-20, 240, 520, 6.0),
}


def look_ct(masks: Masks, points: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """Hounsfield units with Gaussian noise.

    Args:
        masks: boolean (X, Y, Z) structures of `draw_anatomy`.
        points: world coordinates in mm, (3, X, Y, Z).
        spacing: mm a voxel along X, Y, Z.
        generator: the only source of chance.

    Returns:
        The image, (X, Y, Z); so do the other looks.
    """
    image = _blurred(_painted(masks, "ct", -1000.0, generator), spacing, 1.5)
    return np.round(image + generator.normal(0, generator.uniform(10, 20), image.shape)).astype(np.int16)


def look_t1(masks: Masks, points: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """T1 weighting: bright fat and liver, dark blood."""
    return _magnetic_resonance("t1", masks, points, spacing, generator)


def look_t2(masks: Masks, points: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """T2 weighting: bright kidneys and discs, dark liver."""
    return _magnetic_resonance("t2", masks, points, spacing, generator)


def look_pet(masks: Masks, points: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """Tracer uptake: a hot lesion, milder blobs of bowel, wide blur, and noise that grows with the signal."""
    image = _painted(masks, "pet", 0.0, generator)
    places = np.argwhere(masks["body"] & (points[2] < 0))
    for x, y, z in places[generator.integers(len(places), size=generator.integers(2, 6))]:
        distance = np.sqrt(((points - points[:, x, y, z, None, None, None]) ** 2).sum(0))
        image[masks["body"] & (distance < generator.uniform(4, 8))] = generator.uniform(0.9, 1.5)
    image = _blurred(image, spacing, 2.5)
    noise = generator.normal(0, 1, image.shape) * np.sqrt(0.02 * np.maximum(image, 0) + 0.001)
    return np.maximum(image + noise, 0).astype(np.float32)


def _magnetic_resonance(
    weighting: str,
    masks: Masks,
    points: np.ndarray,
    spacing: Sequence[float],
    generator: np.random.Generator,
) -> np.ndarray:
    """Signal of arbitrary scale under a smooth coil sensitivity, with Rician noise."""
    image = _blurred(_painted(masks, weighting, 0.0, generator), spacing, 1.5)
    direction = generator.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    sensitivity = np.exp(0.3 * np.tensordot(direction, points, axes=1) / 60)
    noise = generator.normal(0, generator.uniform(15, 30), (2, *image.shape))
    gain = generator.uniform(0.5, 1.8)
    return (gain * np.hypot(image * sensitivity + noise[0], noise[1])).astype(np.float32)


def _painted(masks: Masks, modality: str, outside: float, generator: np.random.Generator) -> np.ndarray:
    """Every structure in its brightness, give or take some per cent from patient to patient."""
    image = np.full(masks["body"].shape, outside)
    # The right kidney repeats the left one's draw: a difference in brightness would tell them apart.
    factors = {name: generator.uniform(0.92, 1.08) for name in _TISSUES}
    factors["right_kidney"] = factors["left_kidney"]
    for name, tissue in _TISSUES.items():
        image[masks[name]] = getattr(tissue, modality) * factors[name]
    return image


def _blurred(image: np.ndarray, spacing: Sequence[float], sigma: float) -> np.ndarray:
    """Gaussian blur of `sigma` mm."""
    return gaussian_filter(image, [sigma / step for step in spacing])
