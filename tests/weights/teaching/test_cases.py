from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hermes_nnunet.weights.teaching.cases import FalsePlaces, Patches, TaughtCase

PLANS = SimpleNamespace(tasks=("a", "b"))


def case_of(labels, image=None):
    labels = torch.as_tensor(labels, dtype=torch.int16)
    image = labels[None].float() if image is None else image
    return TaughtCase(None, image, labels, {}, labels.numpy())


@pytest.fixture
def case():
    """Two cubes, whose image is their labels."""
    labels = np.zeros((30, 24, 20), np.int16)
    labels[4:10, 5:11, 3:9] = 1
    labels[18:26, 12:20, 10:17] = 2
    return case_of(labels)


class TestPatches:
    def test_are_pieces_of_the_image_with_their_labels(self, case):
        batch = Patches([case], PLANS, (16, 16, 16), seed=0).batch(8, augmented=False)
        assert batch.images.shape == batch.labels.shape == (8, 1, 16, 16, 16)
        assert torch.equal(batch.images, batch.labels.float())

    def test_show_the_tasks_in_turn_where_they_must(self, case):
        batch = Patches([case], PLANS, (16, 16, 16), seed=0).batch(40, augmented=False, foreground=1)
        shown = [{int(value) for value in labels.unique()} - {0} for labels in batch.labels]
        assert all(shown)
        assert sum(1 in own for own in shown) > 10
        assert sum(2 in own for own in shown) > 10

    def test_half_of_a_batch_shows_a_task(self, case):
        patches = Patches([case], PLANS, (6, 6, 6), seed=0)
        shown = [[bool(labels.any()) for labels in patches.batch(4, augmented=False).labels] for _ in range(20)]
        first, others = np.array(shown)[:, :2].mean(), np.array(shown)[:, 2:].mean()
        assert first > 0.9 > 0.6 > others

    def test_elsewhere_often_show_what_the_network_takes_for_a_task(self):
        image = torch.zeros(1, 40, 40, 40)
        image[0, 35, 35, 35] = 1
        case = case_of(np.zeros((40, 40, 40)), image)
        patches = Patches([case], PLANS, (8, 8, 8), seed=0)
        shows = [bool(patches.batch(1, augmented=False, foreground=0).images.any()) for _ in range(200)]
        patches.false_places = [FalsePlaces(case, np.array([[35, 35, 35], [2, 2, 2]]), np.array([0.9, 0.1]))]
        then = [bool(patches.batch(1, augmented=False, foreground=0).images.any()) for _ in range(200)]
        assert sum(shows) < 20
        assert 60 < sum(then) < 120

    def test_of_an_image_that_is_smaller_are_filled_up_with_zeros(self):
        small = case_of(np.ones((6, 6, 20)), torch.full((1, 6, 6, 20), 5.0))
        batch = Patches([small], PLANS, (16, 16, 16), seed=0).batch(2, augmented=False)
        assert (batch.images == 5).sum() == (batch.labels == 1).sum() == 2 * 6 * 6 * 16
        assert batch.images[batch.labels == 0].abs().max() == 0

    def test_are_turned_and_changed_with_their_labels_but_not_mirrored(self):
        labels = np.zeros((40, 40, 40), np.int16)
        labels[:, :, 24:] = 1  # the right half
        patches = Patches([case_of(labels)], PLANS, (16, 16, 16), seed=0)
        batch = patches.batch(12, foreground=1)
        for image, own in zip(batch.images, batch.labels, strict=True):
            if not 0.2 < own.float().mean() < 0.8:
                continue
            contrast = image[own == 1].mean() - image[own == 0].mean()
            assert contrast > 0.6
            assert own[..., -4:].float().mean() > own[..., :4].float().mean()

    def test_are_the_same_with_the_same_seed(self, case):
        first, second, other = (Patches([case], PLANS, (16, 16, 16), seed=s).batch(2).images for s in (1, 1, 2))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)

    def test_have_labels_at_every_resolution(self, case):
        batch = Patches([case], PLANS, (16, 16, 16), seed=0).batch(2)
        full, half = batch.targets([[1, 1, 1], [0.5, 0.5, 0.25]])
        assert torch.equal(full, batch.labels)
        assert half.shape == (2, 1, 8, 8, 4)
