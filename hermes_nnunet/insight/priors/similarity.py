"""Cosine similarity of prior tokens, and what follows from it: an order, neighbours, how alike members are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hermes_nnunet.insight.priors.pools import PriorPool
from hermes_nnunet.insight.priors.tasks import TaskOrigin


def task_vectors(pools: Sequence[PriorPool]) -> np.ndarray:
    """Unit vectors (tasks, C): the tokens of several places side by side, each place with the same weight."""
    return _side_by_side([pool.tasks for pool in pools])


def modality_vectors(pools: Sequence[PriorPool]) -> np.ndarray:
    """Unit vectors (modalities, C): the mean of a modality's tokens, since their order has no meaning."""
    return _side_by_side([pool.modalities.mean(axis=1) for pool in pools])


def cosine_similarity(vectors: np.ndarray) -> np.ndarray:
    """(N, N) cosines of unit vectors (N, C); of several places the mean over the places."""
    return np.clip(vectors @ vectors.T, -1, 1)


def chance(pools: Sequence[PriorPool]) -> float:
    """Standard deviation of the cosine of two tasks whose tokens have nothing to do with each other."""
    return math.sqrt(sum(1 / pool.tasks.shape[1] for pool in pools)) / len(pools)


def cluster_tree(similarity: np.ndarray) -> np.ndarray | None:
    """Average-linkage tree on 1 - cosine, leaves ordered so that neighbours are alike; None for a single row."""
    from scipy.cluster.hierarchy import linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if len(similarity) < 2:
        return None
    distance = 1 - similarity
    np.fill_diagonal(distance, 0)
    condensed = squareform(distance, checks=False)
    return optimal_leaf_ordering(linkage(condensed, "average"), condensed)


def cluster_order(tree: np.ndarray | None) -> list[int]:
    """Rows in the order of a tree's leaves."""
    from scipy.cluster.hierarchy import leaves_list

    return [0] if tree is None else leaves_list(tree).tolist()


def nearest(similarity: np.ndarray, row: int, count: int) -> list[int]:
    """The rows that are most like `row`, itself left out, most like first."""
    others = [other for other in range(len(similarity)) if other != row]
    return sorted(others, key=lambda other: -similarity[row, other])[:count]


@dataclass(frozen=True)
class MemberSimilarity:
    """Mean cosine of a member's tasks with each other and with those of other members; nan where there is no pair."""

    own: float
    same_modality: float
    other_modality: float


def similarity_by_member(similarity: np.ndarray, tasks: Sequence[TaskOrigin]) -> dict[str, MemberSimilarity]:
    """How alike the tasks of every member are: tasks that belong together should be nearer than others."""
    member = np.array([task.member for task in tasks])
    modality = np.array([task.modality for task in tasks])
    same_member, same_modality = member[:, None] == member, modality[:, None] == modality
    pair = ~np.eye(len(tasks), dtype=bool)
    members = {}
    for name in dict.fromkeys(member.tolist()):
        own = (member == name)[:, None]
        kinds = (same_member & pair, ~same_member & same_modality, ~same_member & ~same_modality)
        members[name] = MemberSimilarity(*(_mean(similarity[own & kind]) for kind in kinds))
    return members


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _side_by_side(tokens: Sequence[np.ndarray]) -> np.ndarray:
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in tokens]
    return np.concatenate(unit, axis=1) / math.sqrt(len(unit))
