"""The base of additions' tests, and examples of bright cubes in noise."""

import nibabel
import numpy as np
import pytest

from tests.weights.additions.conftest import base, folders  # noqa: F401

SIZE = 20


@pytest.fixture
def write_example(tmp_path):
    """A function that writes an image and its mask into tmp_path/examples; returns both paths."""

    def write(name, values=(1,), seed=0, shift=0, spacing=1.5, mask_spacing=None, channels=1):
        folder = tmp_path / "examples"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        mask = np.zeros((SIZE,) * 3, np.uint8)
        image = rng.normal(size=mask.shape).astype(np.float32)
        for number, value in enumerate(values, start=1):
            corner = 8 * number - 6 + shift
            where = (slice(corner, corner + 6), slice(4 + shift, 12 + shift), slice(5, 13))
            mask[where] = value
            image[where] += 3 * number
        suffixes = [""] if channels == 1 else [f"_{channel:04d}" for channel in range(channels)]
        images = [folder / f"{name}{suffix}.nii.gz" for suffix in suffixes]
        affine = np.diag([spacing] * 3 + [1])
        for path in images:
            nibabel.save(nibabel.Nifti1Image(image, affine), path)
        mask_affine = affine if mask_spacing is None else np.diag([mask_spacing] * 3 + [1])
        nibabel.save(nibabel.Nifti1Image(mask, mask_affine), folder / f"{name}_mask.nii.gz")
        return images[0], folder / f"{name}_mask.nii.gz"

    return write
