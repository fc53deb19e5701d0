import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from hermes_nnunet.learning.training.augmentation import (
    AugmentationByCase,
    intensity_probabilities,
    paper_augmentation,
)
from hermes_nnunet.learning.training.case_context import LastCase, announcing_dataset_class

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


def augmented(probability=0.1, in_plane=False):
    return ComposeTransforms(paper_augmentation(PATCH, ROTATION, in_plane, probability))


@pytest.mark.parametrize(("in_plane", "depth"), [(False, 20), (True, PATCH[0])])
def test_patches_have_the_asked_size_and_known_labels(in_plane, depth):
    transforms = augmented(in_plane=in_plane)
    for _ in range(10):
        done = transforms(**case(depth))
        assert done["image"].shape == done["segmentation"].shape == (1, *PATCH)
        assert set(done["segmentation"].unique().tolist()) <= {-1, 0, 7}


def test_half_of_the_patches_are_turned_and_scaled():
    transforms = augmented(0)
    start = case()
    cut = start["image"][:, 4:16, 4:16, 4:16]
    unchanged = [torch.equal(transforms(**{k: v.clone() for k, v in start.items()})["image"], cut) for _ in range(200)]
    assert np.mean(unchanged) == pytest.approx(0.5, abs=0.1)


def test_intensities_stay_without_chance_and_change_with_it():
    def spread(probability):
        transforms = augmented(probability)
        return [transforms(**{**case(), "image": torch.ones(1, 20, 20, 20)}) for _ in range(20)]

    assert all(done["image"].max() == pytest.approx(1) for done in spread(0))
    assert all(done["image"].max() != pytest.approx(1, abs=1e-3) for done in spread(1))


def test_scales_reach_from_smaller_to_larger():
    transforms = augmented(0)
    volumes = [int((transforms(**case())["segmentation"] == 7).sum()) for _ in range(200)]
    assert min(volumes) < 0.7 * 7**3
    assert max(volumes) > 1.3 * 7**3


class Cases:
    """What nnU-Net's data sets have, as far as it matters here."""

    def __init__(self, folder):
        self.folder = folder

    def load_case(self, identifier):
        return self.folder, identifier


class TestByCase:
    def test_a_patch_gets_the_transforms_of_the_case_that_was_loaded_last(self):
        last = LastCase()
        dataset = announcing_dataset_class(Cases, last)("there")
        transforms = AugmentationByCase(last, {"a": "CT", "b": "T1"}, {"CT": lambda image: -image, "T1": abs_of})
        assert dataset.load_case("a") == ("there", "a")
        assert transforms(image=3) == -3
        dataset.load_case("b")
        assert transforms(image=-3) == 3

    def test_data_set_and_transforms_go_into_another_process_together(self):
        last = LastCase()
        pair = announcing_dataset_class(Cases, last)("there"), AugmentationByCase(last, {"b": "T1"}, {"T1": abs_of})
        dataset, transforms = pickle.loads(pickle.dumps(pair))
        assert dataset.load_case("b") == ("there", "b")
        assert transforms(image=-3) == 3
        assert last.name == ""

    def test_mr_images_change_twice_as_often(self, collection):
        assert intensity_probabilities(collection, papers=False) == {
            "abdomen__a": 0.1, "abdomen__b": 0.1, "abdomen__c": 0.1, "brain__x": 0.2, "brain__y": 0.2,
        }  # fmt: skip

    def test_the_papers_members_have_the_papers_probabilities(self, collection):
        names = {"abdomen": "amos_mr", "brain": "brain_structure"}  # unknown modality, and T1
        cases = {case: replace(entry, member=names[entry.member]) for case, entry in collection.cases.items()}
        assert set(intensity_probabilities(replace(collection, cases=cases), papers=True).values()) == {0.2, 0.1}
        assert intensity_probabilities(replace(collection, cases=cases), papers=True)["brain__x"] == 0.1


def abs_of(image):
    return abs(image)
