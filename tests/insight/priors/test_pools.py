import numpy as np
import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.priors.pools import choose_places, read_pools
from hermes_nnunet.networks.fusion import FusionPlace, PoolSizes


@pytest.fixture
def network():
    """Two places of 3 tasks and 2 modalities."""
    sizes = PoolSizes(num_tasks=3, num_modalities=2, tokens_per_modality=4)
    widths = {"deep": 32, "fine": 64}
    return torch.nn.ModuleDict({name: FusionPlace(sizes, width=width, depth=1) for name, width in widths.items()})


class TestReading:
    def test_every_place_is_read_in_the_order_of_the_network_without_its_null_row(self, network):
        pools = read_pools(network.state_dict(), 3, 2)
        assert [pool.place for pool in pools] == ["deep", "fine"]
        assert [pool.tasks.shape for pool in pools] == [(3, 32), (3, 64)]
        assert [pool.modalities.shape for pool in pools] == [(2, 4, 32), (2, 4, 64)]
        np.testing.assert_array_equal(pools[1].tasks, network["fine"].priors.tasks[:3].detach())

    def test_a_network_without_pools_is_refused(self):
        with pytest.raises(HermesError, match="no prior pools"):
            read_pools(torch.nn.Linear(2, 2).state_dict(), 3, 2)

    def test_pools_of_another_collection_are_refused(self, network):
        with pytest.raises(HermesError, match="3 tasks and 2 modalities in deep, the plans have 4 and 2"):
            read_pools(network.state_dict(), 4, 2)


class TestPlaces:
    def test_all_or_one_can_be_chosen(self, network):
        pools = read_pools(network.state_dict(), 3, 2)
        assert choose_places(pools, "all") == pools
        assert choose_places(pools, "1") == pools[1:]

    @pytest.mark.parametrize("level", ["2", "-1", "deep"])
    def test_another_is_refused_with_what_there_is(self, network, level):
        with pytest.raises(HermesError, match=rf"--level {level} .* 0 \(deep\), 1 \(fine\)"):
            choose_places(read_pools(network.state_dict(), 3, 2), level)
