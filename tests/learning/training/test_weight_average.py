import pytest
import torch
from torch import nn

from hermes_nnunet.learning.training.weight_average import WeightAverage, decay


@pytest.fixture
def network():
    """One weight and one buffer, both 0."""
    network = nn.Module()
    network.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    network.register_buffer("count", torch.zeros(1))
    return network


def set_to(network, value):
    with torch.no_grad():
        network.weight.fill_(value)
        network.count.fill_(value)


def averaged(average):
    return {name: value.item() for name, value in average.state_aside().items()}


class TestUpdates:
    def test_decay_rises_to_its_highest(self):
        assert [decay(updates) for updates in (0, 1, 3, 99, 1000)] == pytest.approx([0, 0.5, 0.75, 0.99, 0.99])

    @pytest.mark.parametrize(("arguments", "highest"), [((), 0.99), ((0.95,), 0.95), ((0.999,), 0.999)])
    def test_average_follows_the_formula(self, network, arguments, highest):
        average = WeightAverage(network, *arguments)
        expected = 123.0  # what the first update replaces
        for step in range(150):
            set_to(network, step % 7 + 1)
            average.update()
            kept = min(1 - 1 / (step + 1), highest)
            expected = kept * expected + (1 - kept) * (step % 7 + 1)
        assert averaged(average)["weight"] == pytest.approx(expected, rel=1e-12)
        assert average.updates == 150

    def test_buffers_are_copied(self, network):
        average = WeightAverage(network)
        for value in (1, 5):
            set_to(network, value)
            average.update()
        assert averaged(average) == {"weight": 3, "count": 5}


class TestExchange:
    @pytest.fixture
    def average(self, network):
        """An average of 3, where the network has 5."""
        average = WeightAverage(network)
        for value in (1, 5):
            set_to(network, value)
            average.update()
        return average

    def test_values_change_places_in_the_same_tensors(self, network, average):
        weight = network.weight
        average.exchange()
        assert (weight.item(), averaged(average)["weight"]) == (3, 5)
        average.exchange()
        assert (weight.item(), averaged(average)["weight"]) == (5, 3)
        assert network.weight is weight
        assert weight.requires_grad

    def test_the_networks_own_weights_return_after_an_error(self, network, average):
        def fail():
            with average.in_network():
                assert network.weight.item() == 3
                raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            fail()
        assert network.weight.item() == 5

    def test_resumed_it_goes_on_as_before(self, network, average):
        with average.in_network():
            saved = {name: value.clone() for name, value in network.state_dict().items()}
            training_weights = {name: value.clone() for name, value in average.state_aside().items()}
        set_to(network, 7)
        average.update()
        expected = averaged(average)

        network.load_state_dict(saved)
        average.resume(training_weights, 2)
        assert network.weight.item() == 5
        set_to(network, 7)
        average.update()
        assert averaged(average) == expected
