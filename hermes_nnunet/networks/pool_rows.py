"""Which parts of a network's weights belong to tasks, to modalities and to additions: told by their names."""

import re
from enum import Enum

_OF_TASKS = re.compile(r"(^|\.)seg_layers\.(priors\.tasks|classifiers\.(weight|bias))")
_OF_MODALITIES = re.compile(
    r"(^|\.)seg_layers\.(priors\.modalities|modalities\.(gain|bias)|modality_head\.classify\.project\.(weight|bias))"
)
_OF_ADDITIONS = re.compile(r"^(?P<layer>.+\.seg_layers\.adapters)\.(?P<addition>\d+)\.(?P<part>up|down)$")


class Rows(Enum):
    """What the rows (first axis) of a weight stand for."""

    TASKS = "tasks"  # a row each, and the null row last
    MODALITIES = "modalities"  # a row each, "unknown" last


def rows_of(name: str) -> Rows | None:
    """What the rows of a weight stand for; None for one that all tasks and modalities share, or that is an adapter's.

    Args:
        name: as in the state_dict.
    """
    for pattern, rows in ((_OF_TASKS, Rows.TASKS), (_OF_MODALITIES, Rows.MODALITIES)):
        match = pattern.search(name)
        if match is not None and match.end() == len(name):
            return rows
    return None


def adapter_of(name: str) -> int | None:
    """Number of the addition whose adapter a weight is part of; None for all others."""
    match = _OF_ADDITIONS.match(name)
    return None if match is None else int(match["addition"])


def as_adapter_of(name: str, addition: int) -> str:
    """Name of the same part of the adapter of another addition."""
    match = _OF_ADDITIONS.match(name)
    if match is None:
        msg = f"{name} is no part of an adapter"
        raise ValueError(msg)
    return f"{match['layer']}.{addition}.{match['part']}"
