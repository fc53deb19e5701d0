"""What an addition's network takes from its base, and that it stays so."""

from dataclasses import replace

import pytest
import torch

from hermes_nnunet.additions import AddedMember
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.pool_rows import adapter_of
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.additions.starting import (
    check_unchanged,
    learning_parameters,
    round_adapters,
    start_addition,
)


@pytest.fixture
def base_plans(collection):
    """CT, T1 and "unknown"; four tasks."""
    return HermesPlans.of_collection(collection, {})


@pytest.fixture
def plans(base_plans):
    """One task, of cases of T1 and of T2."""
    added = AddedMember("new", ("new/x",), ("T2",), 2)
    return replace(base_plans, tasks=("new/x",), modalities=("T1", "T2", "unknown"), additions=(added,))


@pytest.fixture
def base(network_class, network_sizes):
    """Weights of a network of the paper."""
    torch.manual_seed(0)
    return network_class(1, 4, num_modalities=3, **network_sizes).state_dict()


@pytest.fixture
def network(network_class, network_sizes):
    torch.manual_seed(1)
    return network_class(1, 1, num_modalities=3, adapter_ranks=[2], **network_sizes)


def pool(weights, kind):
    return next(tensor for name, tensor in weights.items() if name.endswith(f"priors.{kind}"))


class TestRows:
    def test_of_known_modalities_are_the_bases(self, network, plans, base, base_plans):
        start_addition(network, plans, base, base_plans)
        own, of_base = pool(network.state_dict(), "modalities"), pool(base, "modalities")
        assert torch.equal(own[[0, 2]], of_base[[1, 2]])  # T1, unknown

    def test_that_are_new_begin_as_the_mean_of_the_bases(self, network, plans, base, base_plans):
        start_addition(network, plans, base, base_plans)
        assert torch.equal(pool(network.state_dict(), "modalities")[1], pool(base, "modalities")[:2].mean(0))
        tasks = pool(network.state_dict(), "tasks")
        assert torch.equal(tasks[0], pool(base, "tasks")[:4].mean(0))
        assert torch.equal(tasks[1], pool(base, "tasks")[4])  # the null row

    def test_that_are_frozen_come_back(self, network, plans, base, base_plans):
        frozen = start_addition(network, plans, base, base_plans)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter += 1
        with pytest.raises(RuntimeError, match="of the base has changed"):
            check_unchanged(network.state_dict(), plans, base, base_plans)
        frozen.restore()
        check_unchanged(network.state_dict(), plans, base, base_plans)


def test_all_else_is_frozen(network, plans, base, base_plans):
    start_addition(network, plans, base, base_plans)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {name for name in learning if ".seg_layers." not in f".{name}"} == set()
    rows, convolutions, linear = learning_parameters(network)
    assert len(rows) + len(convolutions) + len(linear) == len(learning)
    assert all((rows, convolutions, linear))


def test_another_network_is_refused(network, plans, base, base_plans):
    name = next(name for name in base if name.endswith("weight") and base[name].ndim == 5)
    with pytest.raises(HermesError, match=f"of another network than the plans say: {name} is missing"):
        start_addition(network, plans, {key: t for key, t in base.items() if key != name}, base_plans)


def test_rounded_adapters_do_not_change_in_a_file(network):
    round_adapters(network)
    for name, parameter in network.named_parameters():
        if adapter_of(name) is not None:
            assert torch.equal(parameter.half().float(), parameter)
