"""What Hermes-R and Hermes-M have in common; tests/weights compares them with the paper's numbers."""

from unittest.mock import Mock

import pytest
import torch

from hermes_nnunet.collection import Context
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ABSENT_LOGIT, ContextualNetwork
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.networks.saved_numbers import count_saved_numbers

SIZE = (16, 16, 32)


@pytest.fixture
def network(network_class, network_sizes):
    torch.manual_seed(0)
    return network_class(1, 5, True, num_modalities=3, **network_sizes)


@torch.no_grad()
def predict(network, image, tasks, channel_rows=None):
    network.eval()
    network.decoder.deep_supervision = False
    rows = None if channel_rows is None else torch.tensor(channel_rows)
    network.set_context(ContextBatch(torch.tensor(tasks), torch.zeros(len(tasks), dtype=torch.long), rows))
    return network(image)


class TestOutput:
    def test_every_supervised_output_has_full_resolution_and_a_weight(self, network):
        network.set_context(ContextBatch(torch.tensor([[0, 3, -1], [4, 2, 1]]), torch.tensor([0, 2])))
        output = network(torch.randn(2, 1, *SIZE))
        assert [tuple(logits.shape) for logits in output.logits] == [(2, 3, *SIZE)] * len(network.supervision_scales)
        assert len(network.supervision_weights) == len(network.supervision_scales)
        assert sum(network.supervision_weights) == 1
        assert output.modality_logits.shape == (2, 3)

    def test_every_parameter_gets_a_gradient(self, network):
        network.set_context(ContextBatch(torch.tensor([[0, -1]]), torch.tensor([2])))
        output = network(torch.randn(1, 1, *SIZE))
        (sum(logits.square().mean() for logits in output.logits) + output.modality_logits.mean()).backward()
        assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []

    def test_medformer_wants_a_multiple_of_16_and_resunet_takes_any_size(self, network, network_class):
        image = torch.randn(1, 1, 18, 22, 32)
        if network_class is HermesResUNet:
            assert predict(network, image, [[0]]).shape == (1, 1, 18, 22, 32)
        else:
            with pytest.raises(RuntimeError):
                predict(network, image, [[0]])


class TestContext:
    def test_padding_takes_part_in_the_attention(self, network):
        image = torch.randn(1, 1, *SIZE)
        short, padded = predict(network, image, [[1, 2]]), predict(network, image, [[1, 2, -1, -1]])
        assert network.attends_to_null_rows
        assert not torch.allclose(padded[:, :2], short, atol=1e-5)

    def test_channels_of_a_prediction_are_chosen_apart_from_its_rows(self, network):
        image = torch.randn(1, 1, *SIZE)
        padded = predict(network, image, [[1, 2, -1]])
        shown = predict(network, image, [[1, 2, -1]], channel_rows=[-1, 0, 1, -1, -1])
        torch.testing.assert_close(shown[:, [1, 2]], padded[:, :2])
        assert (shown[:, [0, 3, 4]] == ABSENT_LOGIT).all()

    def test_batch_mates_change_nothing(self, network):
        images = torch.randn(2, 1, *SIZE)
        both = predict(network, images, [[1, 2], [3, -1]])
        # instance norm over the few voxels of the last stage enlarges rounding errors
        torch.testing.assert_close(both[:1], predict(network, images[:1], [[1, 2]]), rtol=1e-2, atol=1e-3)


class TestRows:
    @pytest.mark.parametrize("padded_to", [None, 2, 23])
    def test_a_batch_has_its_largest_context_and_one_null_row(self, network, padded_to):
        contexts = [Context(("a",), "CT"), Context(("a", "b", "c"), "CT")]
        assert network.rows_of(contexts, padded_to) == 4

    def test_networks_that_do_not_read_null_rows_are_padded_as_asked(self):
        assert HermesUNet.attends_to_null_rows is False
        for rows in (None, 7):
            assert ContextualNetwork.rows_of(Mock(attends_to_null_rows=False), [Context(("a",), "CT")], rows) == rows


class TestMemory:
    def test_numbers_kept_grow_with_voxels_and_tasks(self, network_class, network_sizes):
        with torch.device("meta"):
            network = network_class(1, 5, True, num_modalities=3, **network_sizes)
        small = count_saved_numbers(network, 1, SIZE, rows=2)
        assert 3.8 < count_saved_numbers(network, 1, [2 * side for side in SIZE[:2]] + [32], rows=2) / small < 4.1
        assert count_saved_numbers(network, 1, SIZE, rows=5) > small

    def test_the_count_is_what_autograd_keeps(self, network, network_class, network_sizes):
        kept = {}

        def remember(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        network.set_context(ContextBatch(torch.tensor([[0, 1]]), torch.tensor([0])))
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            network(torch.randn(1, 1, *SIZE))
        own = {parameter.data_ptr() for parameter in network.parameters()}
        numbers = sum(t.untyped_storage().nbytes() // t.element_size() for p, t in kept.items() if p not in own)
        with torch.device("meta"):
            twin = network_class(1, 5, True, num_modalities=3, **network_sizes)
        assert count_saved_numbers(twin, 1, SIZE, rows=2) == pytest.approx(numbers, rel=0.1)
