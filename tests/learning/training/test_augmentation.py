import math

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from hermes_nnunet.learning.training import augmentation
from hermes_nnunet.learning.training.augmentation import paper_augmentation

ROTATION = (-math.pi / 6, math.pi / 6)
PATCH = (12, 12, 12)


@pytest.fixture(autouse=True)
def seed():
    """The same random numbers in every run."""
    torch.manual_seed(0)
    np.random.seed(0)


def case(depth=20):
    """An image of noise and a label map with a cube."""
    label = torch.zeros(1, depth, 20, 20, dtype=torch.int16)
    label[:, 6:13, 6:13, 6:13] = 7
    return {"image": torch.randn(label.shape), "segmentation": label}


def augmented(probability=None, in_plane=False, monkeypatch=None):
    if probability is not None:
        monkeypatch.setattr(augmentation, "INTENSITY_PROBABILITY", probability)
    return ComposeTransforms(paper_augmentation(PATCH, ROTATION, in_plane))


@pytest.mark.parametrize(("in_plane", "depth"), [(False, 20), (True, PATCH[0])])
def test_patches_have_the_asked_size_and_known_labels(in_plane, depth):
    transforms = augmented(in_plane=in_plane)
    for _ in range(10):
        done = transforms(**case(depth))
        assert done["image"].shape == done["segmentation"].shape == (1, *PATCH)
        assert set(done["segmentation"].unique().tolist()) <= {-1, 0, 7}


def test_half_of_the_patches_are_turned_and_scaled(monkeypatch):
    transforms = augmented(0, monkeypatch=monkeypatch)
    start = case()
    cut = start["image"][:, 4:16, 4:16, 4:16]
    unchanged = [torch.equal(transforms(**{k: v.clone() for k, v in start.items()})["image"], cut) for _ in range(200)]
    assert np.mean(unchanged) == pytest.approx(0.5, abs=0.1)


def test_intensities_stay_without_chance_and_change_with_it(monkeypatch):
    def spread(probability):
        transforms = augmented(probability, monkeypatch=monkeypatch)
        return [transforms(**{**case(), "image": torch.ones(1, 20, 20, 20)}) for _ in range(20)]

    assert all(done["image"].max() == pytest.approx(1) for done in spread(0))
    assert all(done["image"].max() != pytest.approx(1, abs=1e-3) for done in spread(1))


def test_scales_reach_from_smaller_to_larger(monkeypatch):
    transforms = augmented(0, monkeypatch=monkeypatch)
    volumes = [int((transforms(**case())["segmentation"] == 7).sum()) for _ in range(200)]
    assert min(volumes) < 0.7 * 7**3
    assert max(volumes) > 1.3 * 7**3
