import pytest
import torch
from torch import nn

from hermes_nnunet.learning.training.transfer import SlowRows, transfer_groups
from tests.networks.test_hermes_unet import make_network


class TestRates:
    def test_grow_from_the_image_to_the_last_layer_and_are_full_for_rows(self):
        network = make_network(untrained=True)
        groups = transfer_groups(network, 1.0, share=0.5, share_of_first_layer=0.2)
        rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
        assert len(rate) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
        of = {name: rate[id(parameter)] for name, parameter in network.named_parameters()}
        assert of["encoder.stem.convs.0.conv.weight"] == pytest.approx(0.1)
        assert of["decoder.heads.0.refine.project.bias"] == pytest.approx(0.05, rel=0.2)  # a token layer
        assert (
            of["encoder.stem.convs.0.conv.weight"]
            < of["encoder.stages.2.blocks.0.conv1.conv.weight"]
            < of["decoder.stages.1.convs.0.conv.weight"]
            < of["decoder.heads.0.seg_layers.classifiers.weight"]
        )
        assert of["encoder_fusion.2.seg_layers.priors.tasks"] == 1
        assert of["encoder.stem.convs.0.norm.seg_layers.modalities.gain"] == 1
        assert len(groups) < 30


class TestSlowRows:
    def test_move_a_share_of_the_step(self):
        module = nn.Module()
        module.pool = nn.Parameter(torch.ones(3, 2))
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0)
        SlowRows(module, {"pool": (0, 2)}, 0.25).follow(optimizer)
        for _ in range(2):
            optimizer.zero_grad()
            module.pool.sum().backward()
            optimizer.step()
        torch.testing.assert_close(module.pool[:, 0], torch.tensor([0.95, 0.8, 0.95]))
