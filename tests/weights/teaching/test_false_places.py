from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.weights.teaching.cases import TaughtCase
from hermes_nnunet.weights.teaching.false_places import corners_of, find_false_places

SIZE = (8, 8, 8)


class Believer(nn.Module):
    """Takes every bright voxel for both of its tasks, and the brightest for the second alone."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.tiles = 0

    def set_context(self, context):
        self.cases = len(context.task_index)

    def forward(self, x):
        assert self.cases == len(x)
        self.tiles += len(x)
        logits = (20 * x - 10) * self.weight
        return SimpleNamespace(logits=[torch.cat((logits, logits.where(x < 1.5, -logits)), 1)])


def context():
    return ContextBatch(torch.tensor([[0, 1]]), torch.tensor([0]))


def found_in(image, labels, most_tiles=1000):
    case = TaughtCase(None, torch.as_tensor(image)[None].float(), torch.as_tensor(labels), {}, labels)
    network = Believer()
    places = find_false_places(network, context(), [case], SIZE, most_tiles=most_tiles, random=np.random.default_rng(0))
    return places, network.tiles


class TestFindFalsePlaces:
    def test_are_bright_voxels_that_are_no_task(self):
        image, labels = np.zeros((20, 12, 7)), np.zeros((20, 12, 7), np.int16)
        image[3, 4, 5] = image[19, 11, 6] = 1
        (places,), _ = found_in(image, labels)
        assert {tuple(voxel) for voxel in places.voxels} == {(3, 4, 5), (19, 11, 6)}
        assert places.probabilities == pytest.approx(1, abs=1e-3)

    def test_is_no_place_where_the_task_is(self):
        image, labels = np.zeros((8, 8, 8)), np.zeros((8, 8, 8), np.int16)
        image[1, 1, 1], image[2, 2, 2] = 2, 2
        # At the first voxel, task 1 alone is believed, and is there.
        labels[1, 1, 1], labels[2, 2, 2] = 1, 2
        (places,), _ = found_in(image, labels)
        assert places.voxels.tolist() == [[2, 2, 2]]

    def test_are_none_where_the_network_is_right(self):
        places, _ = found_in(np.zeros((9, 9, 9)), np.zeros((9, 9, 9), np.int16))
        assert places == []

    def test_takes_no_more_tiles_than_it_may(self):
        image, labels = np.ones((32, 32, 32)), np.zeros((32, 32, 32), np.int16)
        (places,), tiles = found_in(image, labels, most_tiles=5)
        assert tiles == 5
        assert len(places.voxels) == 5 * 8**3


class TestCorners:
    @given(st.lists(st.integers(1, 40), min_size=3, max_size=3))
    def test_every_voxel_is_in_a_tile_and_tiles_begin_in_the_image(self, shape):
        seen = np.zeros(shape, bool)
        corners = corners_of(shape, SIZE)
        for corner in corners:
            seen[tuple(slice(first, first + length) for first, length in zip(corner, SIZE, strict=True))] = True
            assert (corner >= 0).all()
        assert seen.all()
        assert len(corners) == np.prod([-(-length // own) for length, own in zip(shape, SIZE, strict=True)])
