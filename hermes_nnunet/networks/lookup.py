"""Rows of a learned table."""

import torch
from torch.nn import functional


def looked_up(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """What `table[index]` is, for a table (N, ...) and an index of any shape without negative numbers.

    The gradient of an embedding is one kernel on a GPU; that of indexing sorts the index, by a dozen, and a network of
    ours has a hundred of these.
    """
    rows = functional.embedding(index, table.view(len(table), -1))
    return rows.view(*index.shape, *table.shape[1:])
