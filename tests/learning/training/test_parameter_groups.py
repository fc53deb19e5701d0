import torch
from torch import nn

from hermes_nnunet.learning.training.parameter_groups import parameter_groups
from hermes_nnunet.networks.fusion import FusionPlace, PoolSizes


def network():
    place = FusionPlace(PoolSizes(2, 2, 2), width=32, depth=1)
    return nn.ModuleDict(
        {"convolution": nn.Conv3d(1, 32, 3), "norm": nn.InstanceNorm3d(32, affine=True), "place": place}
    )


class TestParameterGroups:
    def test_token_layers_learn_at_a_tenth(self):
        fast, slow = parameter_groups(network(), 2e-3)
        assert (fast["lr"], slow["lr"]) == (2e-3, 2e-4)

    def test_every_parameter_is_in_one_group(self):
        made = network()
        groups = [id(parameter) for group in parameter_groups(made, 1e-3) for parameter in group["params"]]
        assert sorted(groups) == sorted(id(parameter) for parameter in made.parameters())

    def test_convolutions_their_norms_and_prior_tokens_keep_the_rate(self):
        made = network()
        fast, _ = parameter_groups(made, 1e-3)
        priors = made["place"].priors
        kept = [*made["convolution"].parameters(), *made["norm"].parameters(), priors.tasks, priors.modalities]
        assert {id(parameter) for parameter in fast["params"]} == {id(parameter) for parameter in kept}

    def test_adamw_takes_a_network_without_token_layers(self):
        made = nn.Conv3d(1, 1, 1)
        optimizer = torch.optim.AdamW(parameter_groups(made, 0.1))
        made(torch.ones(1, 1, 1, 1, 1)).sum().backward()
        before = made.weight.detach().clone()
        optimizer.step()
        assert not torch.equal(made.weight, before)
