import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.networks.turning import turned, turned_back
from hermes_nnunet.voxel_orders import UNTURNED, orders, turn_of

NETWORKS = {
    HermesResUNet: {"base_width": 4},
    HermesMedFormer: {
        "base_width": 4,
        "widths": (4, 8, 8, 8, 8, 8, 4, 4),
        "attention_blocks": (1, 1, 1, 1, 1),
        "num_codes": 2,
        "head_width": 4,
        "fusion_width": 8,
    },
}


class TestTensors:
    @given(st.sampled_from(orders(of_other_axes=True)))
    def test_back_is_the_inverse(self, order):
        x = torch.arange(48.0).reshape(1, 2, 2, 3, 4)
        assert torch.equal(turned_back(turned(x, turn_of(order)), turn_of(order)), x)

    def test_without_a_turn_the_tensor_itself_comes_back(self):
        x = torch.zeros(1, 1, 2, 2, 2)
        assert turned(x, UNTURNED) is x
        assert turned_back(x, UNTURNED) is x


class TestNetworks:
    @pytest.mark.parametrize("network_class", NETWORKS)
    @settings(max_examples=3, deadline=None)
    @given(order=st.sampled_from([order for order in orders(of_other_axes=True) if order != "RAS"]))
    @torch.no_grad()
    def test_a_turned_context_computes_the_bits_of_the_turned_image(self, network_class, order):
        torch.manual_seed(0)
        network = network_class(1, 3, **NETWORKS[network_class]).eval()
        context = ContextBatch(torch.tensor([[0, 2, -1]]), torch.tensor([0]), torch.tensor([0, 1, -1]))
        image = torch.randn(1, 1, 32, 16, 16)
        turn = turn_of(order)
        network.set_context(context)
        plain, expected = network(image), turned_back(network(turned(image, turn)), turn)
        network.set_context(context._replace(turn=turn))
        assert torch.equal(network(image), expected)
        assert not torch.allclose(plain, expected, atol=1e-3)

    @torch.no_grad()
    def test_all_supervised_outputs_come_back(self):
        torch.manual_seed(0)
        network = HermesMedFormer(1, 3, True, **NETWORKS[HermesMedFormer]).eval()
        context = ContextBatch(torch.tensor([[0, 2]]), torch.tensor([0]))
        image, turn = torch.randn(1, 1, 16, 16, 32), turn_of("SPR")
        network.set_context(context)
        expected = network(turned(image, turn))
        network.set_context(context._replace(turn=turn))
        output = network(image)
        assert len(output.logits) == 2
        for own, other in zip(output.logits, expected.logits, strict=True):
            assert torch.equal(own, turned_back(other, turn))
        assert torch.equal(output.modality_logits, expected.modality_logits)
