from dataclasses import replace

import pytest
import torch

from hermes_nnunet.collection import Task
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextIndexer
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.networks.pool_rows import rows_of
from hermes_nnunet.networks.taken_over import in_words, take_over
from hermes_nnunet.plans import HermesPlans
from tests.networks.test_hermes_unet import other_collection_arguments


def network_of(plans, seed, **changes):
    torch.manual_seed(seed)
    sizes = {"num_classes": len(plans.tasks), "num_modalities": len(plans.modalities)}
    network = HermesUNet(**{**other_collection_arguments(), **sizes, **changes})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


@pytest.fixture
def old_plans(collection):
    return HermesPlans.of_collection(collection, {})


@pytest.fixture
def new_plans(collection):
    """Another order of tasks and modalities, one of each less and one more."""
    first, second, _, core = collection.tasks
    tasks = (core, Task("heart/ventricle", (9,), 9), second, first)
    members = {
        "abdomen": collection.members["abdomen"],
        "brain": replace(collection.members["brain"], tasks=("brain/core",)),
    }
    return HermesPlans.of_collection(
        replace(collection, tasks=tasks, modalities=("MR", "CT", "unknown"), members=members), {}
    )


class TestRows:
    def test_of_known_tasks_give_the_same_logits_bit_by_bit(self, old_plans, new_plans):
        old, new = network_of(old_plans, 1), network_of(new_plans, 2)
        taken = take_over(old.state_dict(), old_plans, new.state_dict(), new_plans, "base")
        new.load_state_dict(taken.weights)
        image = torch.randn(1, 1, 16, 16, 16)
        context = old_plans.of_member("abdomen").context
        logits = []
        for network, plans in ((old, old_plans), (new, new_plans)):
            network.set_context(ContextIndexer.of_plans(plans)([context]))
            with torch.no_grad():
                logits.append(network(image))
        assert torch.equal(*logits)

    def test_of_new_tasks_and_modalities_stay_as_they_begin(self, old_plans, new_plans):
        old, new = network_of(old_plans, 1).state_dict(), network_of(new_plans, 2).state_dict()
        taken = take_over(old, old_plans, new, new_plans, "base")
        assert taken.tasks == ("brain/core", "abdomen/spleen", "abdomen/liver")
        assert taken.modalities == ("CT", "unknown")
        pools = "encoder_fusion.2.seg_layers.priors"
        for name, rows_of_old, rows_of_new, started in (
            (f"{pools}.tasks", [3, 1, 0, 4], [0, 2, 3, 4], 1),
            (f"{pools}.modalities", [0, 2], [1, 2], 0),
        ):
            assert torch.equal(taken.weights[name][rows_of_new], old[name][rows_of_old])
            assert torch.equal(taken.weights[name][started], new[name][started])
            assert taken.rows[name] == tuple(rows_of_new)

    def test_every_weight_comes_from_the_old_network_but_for_rows(self, old_plans, new_plans):
        old, new = network_of(old_plans, 1).state_dict(), network_of(new_plans, 2).state_dict()
        taken = take_over(old, old_plans, new, new_plans, "base")
        assert taken.weights.keys() == new.keys()
        for name, weight in taken.weights.items():
            assert (name in taken.rows) == (rows_of(name) is not None)
            assert torch.equal(weight, old[name]) == (name not in taken.rows), name

    def test_are_named(self, old_plans, new_plans):
        old, new = network_of(old_plans, 1), network_of(new_plans, 2)
        words = in_words(take_over(old.state_dict(), old_plans, new.state_dict(), new_plans, "base"), new_plans)
        assert words == (
            "taken over by name: brain/core, abdomen/spleen, abdomen/liver; CT, unknown; new: heart/ventricle; MR"
        )


def test_another_network_is_refused_by_name_and_shape(old_plans, new_plans):
    old = network_of(old_plans, 1, features_per_stage=[4, 8, 32]).state_dict()
    new = network_of(new_plans, 2).state_dict()
    with pytest.raises(HermesError, match=r"base is of another network: encoder\.stages\.2\.\S+ has shape \(32, 8"):
        take_over(old, old_plans, new, new_plans, "base")
