import numpy as np
import pytest

from hermes_nnunet.insight.priors.embedding import TSNE_FROM, embed
from hermes_nnunet.insight.priors.similarity import task_vectors


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def gap(points, groups):
    """Distance of the two groups' centres over the mean distance from the own centre."""
    centres = [points[groups == group].mean(0) for group in (0, 1)]
    spread = np.mean([np.linalg.norm(points[groups == g] - centres[g], axis=1).mean() for g in (0, 1)])
    return np.linalg.norm(centres[0] - centres[1]) / spread


class TestFewTasks:
    def test_lie_along_the_direction_in_which_they_differ_most(self, pools, tasks):
        points, axes = embed(task_vectors(pools))
        groups = np.array([task.member == "head" for task in tasks], dtype=int)
        assert gap(points, groups) > 5
        assert abs(points[groups == 0, 0].mean() - points[groups == 1, 0].mean()) > 1
        assert axes[0].startswith("principal component 1 (9")

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_or_two_are_points_too(self, count):
        points, _ = embed(unit(np.random.default_rng(0).normal(size=(count, 8))))
        assert points.shape == (count, 2)
        assert np.isfinite(points).all()


class TestManyTasks:
    def test_groups_stay_apart_and_the_picture_is_always_the_same(self):
        rng = np.random.default_rng(0)
        groups = np.arange(TSNE_FROM + 10) % 2
        vectors = unit(np.eye(2, 16)[groups] + 0.1 * rng.normal(size=(len(groups), 16)))
        points, axes = embed(vectors)
        assert axes[0] == "t-SNE 1"
        assert gap(points, groups) > 3
        np.testing.assert_array_equal(points, embed(vectors)[0])
