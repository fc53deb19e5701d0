"""Low-rank adapters: nothing changes where none acts, and what one changes is its low-rank product."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hermes_nnunet.networks.adapters import LowRank, add_adapters
from hermes_nnunet.networks.attention import FusionBlock
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.pool_rows import Rows, adapter_of, as_adapter_of, rows_of

LAYERS = {
    "convolution": lambda: nn.Conv3d(4, 6, 3, stride=2, padding=1),
    "depthwise": lambda: nn.Conv3d(6, 6, 3, groups=6, bias=False),
    "transposed": lambda: nn.ConvTranspose3d(6, 4, 2, stride=2),
}


def context(addition):
    return ContextBatch(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, dtype=torch.long), addition=addition)


def fill(layer):
    """Adapters that change something."""
    for adapter in layer.modules():
        if isinstance(adapter, LowRank):
            nn.init.normal_(adapter.up)


@pytest.mark.parametrize("kind", LAYERS)
class TestLayer:
    def test_is_bit_equal_where_no_adapter_acts(self, kind):
        layer = LAYERS[kind]()
        x = torch.randn(2, layer.in_channels, 7, 8, 9)
        before = layer(x)
        network = nn.Sequential(layer)
        add_adapters(network, [2, 3])
        fill(layer)
        layer.tell(context(1))
        layer.tell(context(None))
        assert torch.equal(layer(x), before)

    def test_begins_as_it_was(self, kind):
        layer = LAYERS[kind]()
        x = torch.randn(2, layer.in_channels, 7, 8, 9)
        before = layer(x)
        add_adapters(nn.Sequential(layer), [2])
        layer.tell(context(0))
        assert torch.equal(layer(x), before)

    def test_has_the_weight_of_the_adapter_that_acts(self, kind):
        layer = LAYERS[kind]()
        x = torch.randn(2, layer.in_channels, 7, 8, 9)
        add_adapters(nn.Sequential(layer), [2, 3])
        fill(layer)
        layer.tell(context(1))
        adapter = layer.seg_layers["adapters"][1]
        other = LAYERS[kind]()
        other.load_state_dict({name: t for name, t in layer.state_dict().items() if "adapters" not in name})
        with torch.no_grad():
            other.weight += (adapter.up @ adapter.down).view_as(other.weight)
        assert torch.equal(layer(x), other(x))


@given(rank=st.integers(1, 4), rows=st.integers(1, 6), columns=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_change_has_the_rank(rank, rows, columns):
    weight = torch.zeros(rows, columns, 3, 3, 3)
    adapter = LowRank(weight, rank)
    nn.init.normal_(adapter.up)
    assert torch.linalg.matrix_rank(adapter(weight).flatten(1)) <= rank


def test_fusion_blocks_have_them_and_heads_have_not():
    network = nn.ModuleDict({"block": FusionBlock(32), "head": nn.Linear(4, 4)})
    add_adapters(network, [1])
    adapted = {name.partition(".seg_layers")[0] for name in network.state_dict() if adapter_of(name) is not None}
    linear = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    assert adapted == linear - {"head"}


def test_weights_keep_their_names():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ConvTranspose3d(2, 1, 2))
    before = set(network.state_dict())
    add_adapters(network, [1])
    assert {name for name in network.state_dict() if adapter_of(name) is None} == before


class TestNames:
    def test_of_every_weight_of_a_network(self, plans):
        """What seg_layers holds belongs to tasks, modalities or an addition, but for layers of the modality head."""
        from hermes_nnunet.networks.build import network_of_shapes

        configuration = plans["configurations"]["3d_fullres"]
        configuration["architecture"]["arch_kwargs"] |= {"adapter_ranks": [2], "num_modalities": 7}
        network = network_of_shapes(configuration, 1, 11)
        for name, parameter in network.named_parameters():
            rows = rows_of(name)
            if rows is not None:
                assert len(parameter) == {Rows.TASKS: 12, Rows.MODALITIES: 7}[rows], name
            elif ".seg_layers." in name:
                assert adapter_of(name) == 0 or ".modality_head." in name, name
            else:
                assert not {12, 7} & set(parameter.shape), name

    def test_of_an_adapter_of_another_addition(self):
        name = "encoder.conv.seg_layers.adapters.3.up"
        assert adapter_of(name) == 3
        assert as_adapter_of(name, 0) == "encoder.conv.seg_layers.adapters.0.up"
        with pytest.raises(ValueError, match="no part of an adapter"):
            as_adapter_of("encoder.conv.weight", 0)


def test_papers_networks_compute_the_same_bits_beside_an_addition(network_class, network_sizes):
    context_of_base = context(None)
    torch.manual_seed(0)
    base = network_class(1, 1, num_modalities=1, **network_sizes).eval()
    grown = network_class(1, 1, num_modalities=1, adapter_ranks=[2], **network_sizes).eval()
    fill(grown)
    state = base.state_dict()
    grown.load_state_dict({name: state.get(name, tensor) for name, tensor in grown.state_dict().items()})
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        for network in (base, grown):
            network.set_context(context_of_base)
        assert torch.equal(base(x), grown(x))
        grown.set_context(context(0))
        assert not torch.allclose(base(x), grown(x))
