"""Prior pools whose structure is known."""

import numpy as np
import pytest

from hermes_nnunet.insight.priors.pools import PriorPool
from hermes_nnunet.insight.priors.tasks import TaskOrigin


@pytest.fixture
def tasks() -> list[TaskOrigin]:
    """Three tasks of a heart and three of a head, in turn."""
    members = {"heart": "MRI", "head": "CT"}
    return [
        TaskOrigin(f"{member}/{number}", member, modality)
        for number in range(3)
        for member, modality in members.items()
    ]


@pytest.fixture
def pools(tasks) -> list[PriorPool]:
    """Two places, in which the tokens of a member's tasks are one direction with a little noise.

    Modality tokens are one direction for each modality, in any order of the tokens.
    """
    rng = np.random.default_rng(0)
    pools = []
    for width in (40, 80):
        direction = dict(zip(("heart", "head"), np.linalg.qr(rng.normal(size=(width, 2)))[0].T, strict=True))
        tokens = np.array([direction[task.member] for task in tasks]) + 0.02 * rng.normal(size=(len(tasks), width))
        # Lengths differ from place to place and from task to task, which a cosine must not see.
        tokens *= width * rng.uniform(0.5, 2, (len(tasks), 1))
        modalities = rng.normal(size=(3, 5, width))
        modalities[1] = modalities[0, ::-1]
        pools.append(PriorPool(f"place{width}", tokens, modalities))
    return pools
