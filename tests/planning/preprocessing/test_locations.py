import numpy as np
import pytest

from hermes_nnunet.planning.preprocessing.locations import sample_locations


@pytest.fixture
def labels():
    """(1, 60, 70, 80): 0 and -1, few voxels of 1, many of 2 and 3."""
    labels = np.zeros((1, 60, 70, 80), np.int16)
    labels[:, 40:] = 2
    labels[:, 50:, 35:] = 3
    labels[:, 3:8, 3:8, 3:8] = 1
    labels[:, :, 0] = -1
    return labels


class TestSampleLocations:
    def test_a_small_class_is_taken_whole(self, labels):
        locations = sample_locations(labels, [1])
        assert {tuple(voxel) for voxel in locations[1]} == {tuple(voxel) for voxel in np.argwhere(labels == 1)}

    def test_of_a_large_one_10000_different_voxels_are_drawn_from_all_parts(self, labels):
        (voxels,) = sample_locations(labels, [2]).values()
        assert voxels.shape == (10_000, 4)
        assert len(np.unique(voxels, axis=0)) == 10_000
        assert (labels[tuple(voxels.T)] == 2).all()
        np.testing.assert_allclose(voxels.mean(0), np.argwhere(labels == 2).mean(0), atol=0.5)

    def test_of_a_very_large_one_a_hundredth_is_drawn(self):
        (voxels,) = sample_locations(np.ones((1, 120, 110, 100), np.int8), [1]).values()
        assert len(voxels) == 13_200

    def test_a_region_is_the_union_of_its_values(self, labels):
        voxels = sample_locations(labels, [2, [2, 3], (1, 7)])[2, 3]
        share = (labels[tuple(voxels.T)] == 3).mean()
        assert share == pytest.approx((labels == 3).sum() / np.isin(labels, (2, 3)).sum(), abs=0.02)

    def test_keys_are_those_of_nnunet(self, labels):
        # an ignore label makes nnU-Net ask for everything that is annotated, background included
        assert list(sample_locations(labels, [1, (2, 3), [-1, 0, 1, 2, 3], 9])) == [1, (2, 3), (-1, 0, 1, 2, 3), 9]

    def test_a_class_that_is_not_there_has_no_voxels(self, labels):
        assert len(sample_locations(labels, [9])[9]) == 0
        assert len(sample_locations(np.zeros((1, 4, 4, 4), np.int8), [1, (1, 2)])[1, 2]) == 0

    def test_the_same_seed_draws_the_same_voxels(self, labels):
        first, again, other = (sample_locations(labels, [2], seed=seed)[2] for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
