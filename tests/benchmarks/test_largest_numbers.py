"""What benchmarks/largest_numbers.py measures, on a network of three layers."""

import pytest
import torch
from torch import nn


@pytest.fixture
def network():
    """Doubles, negates and triples."""
    made = nn.Sequential(nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)), nn.Linear(1, 1))
    for layer, weight in zip((made[0][0], made[0][1], made[1]), (2.0, -1.0, 3.0), strict=True):
        nn.init.constant_(layer.weight, weight)
    nn.init.zeros_(made[1].bias)
    return made


def test_largest_absolute_output_of_every_layer(network):
    from largest_numbers import largest_of_layers

    with largest_of_layers(network) as largest:
        for number in (5.0, -7.0, 1.0):
            network(torch.tensor([[number]]))
    network(torch.tensor([[1000.0]]))  # behind the block
    assert largest == {"0.0": 14, "0.1": 14, "1": 42, "logits": 42}


def test_rows_name_the_layer_and_what_would_not_fit(network):
    from largest_numbers import rows_of

    rows = list(rows_of({"logits": 20.0, "a.b.c.d": 3.0, "a.b.c.e": 7000.0, "a.b.f": 4.0}))
    assert [tuple(row.values()) for row in rows] == [
        ("a.b.c", 7000.0, "a.b.c.e", "False"),
        ("a.b.f", 4.0, "a.b.f", "True"),
        ("logits", 20.0, "logits", "True"),
    ]
