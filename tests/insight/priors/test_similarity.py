import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.insight.priors.pools import PriorPool
from hermes_nnunet.insight.priors.similarity import (
    chance,
    cluster_order,
    cluster_tree,
    cosine_similarity,
    modality_vectors,
    nearest,
    similarity_by_member,
    task_vectors,
)


class TestVectors:
    def test_similarity_over_places_is_the_mean_of_the_places(self, pools):
        by_place = [cosine_similarity(task_vectors([pool])) for pool in pools]
        np.testing.assert_allclose(cosine_similarity(task_vectors(pools)), np.mean(by_place, axis=0))

    def test_tasks_of_a_member_are_alike_and_those_of_two_are_not(self, pools):
        similarity = cosine_similarity(task_vectors(pools))
        np.testing.assert_allclose(similarity[0, [2, 4]], 1, atol=0.1)
        np.testing.assert_allclose(similarity[0, [1, 3, 5]], 0, atol=0.1)
        np.testing.assert_allclose(np.diag(similarity), 1)

    def test_the_order_of_a_modalitys_tokens_has_no_meaning(self, pools):
        similarity = cosine_similarity(modality_vectors(pools))
        assert similarity[0, 1] == pytest.approx(1)
        assert abs(similarity[0, 2]) < 0.5

    def test_chance_is_the_spread_of_unrelated_tokens(self):
        rng = np.random.default_rng(0)
        pools = [PriorPool("", rng.normal(size=(400, width)), np.zeros((1, 1, width))) for width in (16, 64)]
        cosines = cosine_similarity(task_vectors(pools))[np.triu_indices(400, 1)]
        assert chance(pools) == pytest.approx(cosines.std(), rel=0.03)


class TestOrder:
    def test_a_members_tasks_stand_together(self, pools, tasks):
        order = cluster_order(cluster_tree(cosine_similarity(task_vectors(pools))))
        members = [tasks[row].member for row in order]
        assert members in (["heart"] * 3 + ["head"] * 3, ["head"] * 3 + ["heart"] * 3)

    def test_a_single_task_has_no_tree(self):
        assert cluster_tree(np.ones((1, 1))) is None
        assert cluster_order(None) == [0]

    @settings(deadline=None)
    @given(st.integers(2, 9), st.integers(0, 1000))
    def test_every_row_stands_once(self, count, seed):
        vectors = np.random.default_rng(seed).normal(size=(count, 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        assert sorted(cluster_order(cluster_tree(cosine_similarity(vectors)))) == list(range(count))


class TestNearest:
    def test_is_most_alike_first_and_leaves_itself_out(self):
        similarity = np.array([[1, 0.2, 0.9, -0.5], [0.2, 1, 0, 0], [0.9, 0, 1, 0], [-0.5, 0, 0, 1]])
        assert nearest(similarity, 0, 2) == [2, 1]


class TestMembers:
    def test_means_are_over_pairs_of_different_tasks(self, tasks):
        similarity = np.full((6, 6), 0.1) + 0.9 * np.eye(6)
        heart = [row for row, task in enumerate(tasks) if task.member == "heart"]
        similarity[np.ix_(heart, heart)] = 0.5
        members = similarity_by_member(similarity, tasks)
        assert members["heart"].own == pytest.approx(0.5)
        assert members["heart"].other_modality == pytest.approx(0.1)
        assert math.isnan(members["heart"].same_modality)

    def test_other_members_of_the_same_modality_are_told_apart(self, tasks):
        same = [task if task.member == "heart" else type(task)(task.name, task.member, "MRI") for task in tasks]
        members = similarity_by_member(np.full((6, 6), 0.3), same)
        assert members["head"].same_modality == pytest.approx(0.3)
        assert math.isnan(members["head"].other_modality)
