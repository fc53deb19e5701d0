import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.contextual import ABSENT_LOGIT
from hermes_nnunet.networks.fusion import FusionPlace
from hermes_nnunet.networks.hermes_unet import HermesUNet

TASKS = 6


def make_network(
    stages=3, encoder_type="residual", deep_supervision=False, seed=0, untrained=False, norm_op=nn.InstanceNorm3d
):
    torch.manual_seed(seed)
    network = HermesUNet(
        input_channels=1,
        n_stages=stages,
        features_per_stage=[4 * 2**s for s in range(stages)],
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * stages,
        strides=[[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        n_blocks_per_stage=[1] * stages,
        num_classes=TASKS,
        n_conv_per_stage_decoder=[1] * (stages - 1),
        conv_bias=True,
        norm_op=norm_op,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=deep_supervision,
        num_modalities=3,
        tokens_per_modality=4,
        encoder_type=encoder_type,
        modality_norms=True,
    )
    network.apply(network.initialize)
    return network if untrained else trained(network)


@torch.no_grad()
def trained(network):
    """The network with weights in which nothing is zero, as a training leaves them."""
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return network


def context(tasks, modalities):
    return ContextBatch(torch.tensor(tasks), torch.tensor(modalities))


@torch.no_grad()
def predict(network, image, tasks, modalities):
    network.eval()
    network.set_context(context(tasks, modalities))
    return network(image)


class TestOutput:
    @pytest.mark.parametrize(("stages", "size", "outputs"), [(3, 16, 1), (4, 16, 2), (5, 32, 3)])
    @pytest.mark.parametrize("encoder_type", ["residual", "plain"])
    def test_every_supervised_resolution_has_a_logit_channel_a_row(self, stages, size, outputs, encoder_type):
        network = make_network(stages, encoder_type, deep_supervision=True)
        network.set_context(context([[0, 3, -1], [5, 4, 1]], [0, 2]))
        output = network(torch.randn(2, 1, size, size, size))
        assert [tuple(logits.shape) for logits in output.logits] == [
            (2, 3, size // 2**s, size // 2**s, size // 2**s) for s in range(outputs)
        ]
        assert output.modality_logits.shape == (2, 3)

    def test_places_are_the_stages_of_total_stride_4_and_more(self):
        network = make_network(5)
        assert list(network.encoder_fusion) == ["2", "3", "4"]
        assert list(network.decoder.fusion) == ["2", "3"]
        assert [len(place.blocks) for place in network.encoder_fusion.values()] == [2, 2, 4]

    def test_two_stages_are_too_few(self):
        with pytest.raises(ValueError, match="at least 3 stages"):
            make_network(2)

    def test_modality_norms_stand_in_for_instance_norms_only(self):
        with pytest.raises(ValueError, match="InstanceNorm3d"):
            make_network(norm_op=nn.BatchNorm3d)

    def test_running_without_a_context_is_refused(self):
        with pytest.raises(RuntimeError, match="set_context"):
            make_network()(torch.randn(1, 1, 16, 16, 16))

    def test_padded_rows_of_a_prediction_are_far_below_the_threshold(self):
        logits = predict(make_network(), torch.randn(1, 1, 16, 16, 16), [[-1, 2, -1]], [0])
        assert (logits[0, [0, 2]] == ABSENT_LOGIT).all()
        assert (logits[0, 1] > ABSENT_LOGIT).all()


class TestContext:
    def test_the_tasks_tokens_matter(self):
        network, image = make_network(), torch.randn(1, 1, 16, 16, 16)
        assert not torch.allclose(predict(network, image, [[0]], [0]), predict(network, image, [[1]], [0]))

    def test_the_modality_matters(self):
        network, image = make_network(), torch.randn(1, 1, 16, 16, 16)
        assert not torch.allclose(predict(network, image, [[0]], [0]), predict(network, image, [[0]], [1]))

    def test_every_norm_of_the_unet_knows_the_modality(self):
        network = make_network(4)
        norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm3d)]
        network.set_context(context([[0], [0]], [1, 2]))
        assert len(norms) == 15
        assert all(norm.modality_index.tolist() == [1, 2] for norm in norms)

    def test_networks_of_plans_from_before_modality_norms_have_nnunets(self):
        arguments = {name: value for name, value in other_collection_arguments().items() if name != "modality_norms"}
        names = HermesUNet(**arguments).state_dict().keys()
        assert "encoder.stem.convs.0.norm.weight" in names
        assert not any("norm.seg_layers" in name for name in names)

    @settings(max_examples=15, deadline=None)
    @given(
        tasks=st.lists(st.integers(0, TASKS - 1), min_size=1, max_size=3, unique=True),
        padding=st.integers(0, 4),
        mate=st.lists(st.integers(0, TASKS - 1), min_size=1, max_size=3, unique=True),
        modalities=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    )
    def test_padding_and_batch_mates_change_nothing(self, tasks, padding, mate, modalities):
        network, images = make_network(), torch.randn(2, 1, 16, 16, 16)
        alone = predict(network, images[:1], [tasks], [modalities[0]])
        rows = max(len(tasks), len(mate)) + padding
        both = predict(
            network, images, [t + [-1] * (rows - len(t)) for t in (tasks, mate)], [modalities[0], modalities[1]]
        )
        torch.testing.assert_close(both[:1, : len(tasks)], alone, rtol=1e-4, atol=1e-5)

    def test_channels_of_all_tasks_show_those_of_the_context_and_leave_the_others_empty(self):
        network, image = make_network(), torch.randn(1, 1, 16, 16, 16)
        short = predict(network, image, [[4, 1]], [1])
        network.set_context(network.context._replace(channel_rows=torch.tensor([-1, 1, -1, -1, 0, -1])))
        with torch.no_grad():
            channels = network(image)
        torch.testing.assert_close(channels[:, [4, 1]], short)
        assert (channels[:, [0, 2, 3, 5]] == ABSENT_LOGIT).all()


class TestStart:
    def test_priors_change_nothing_before_the_training(self):
        network, image = make_network(untrained=True), torch.randn(1, 1, 16, 16, 16)
        assert torch.equal(predict(network, image, [[0, 1]], [0])[:, :1], predict(network, image, [[0]], [2]))

    def test_tasks_have_classifiers_of_their_own_from_the_start(self):
        network, image = make_network(untrained=True), torch.randn(1, 1, 16, 16, 16)
        first, second = predict(network, image, [[0, 1]], [0])[0]
        assert not torch.allclose(first, second, atol=0.1)

    def test_voxels_first_belong_to_a_task_with_two_percent(self):
        network = make_network(untrained=True)
        network.decoder.heads[0].seg_layers["classifiers"].weight.data.zero_()
        logits = predict(network, torch.randn(1, 1, 16, 16, 16), [[3]], [0])
        torch.testing.assert_close(torch.sigmoid(logits).mean(), torch.tensor(0.018), atol=1e-3, rtol=0)

    def test_a_step_reaches_the_priors(self):
        network = make_network(untrained=True)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        before = network.encoder_fusion["2"].priors.tasks.detach().clone()
        for _ in range(3):
            network.set_context(context([[2]], [1]))
            network(torch.randn(1, 1, 16, 16, 16)).logits[0].square().mean().backward()
            optimizer.step()
        changed = (network.encoder_fusion["2"].priors.tasks != before).any(dim=1)
        assert changed.tolist() == [task == 2 for task in range(TASKS + 1)]


class TestTraining:
    def test_every_parameter_gets_a_gradient(self):
        network = make_network(4, deep_supervision=True)
        network.set_context(context([[0, -1]], [2]))
        output = network(torch.randn(1, 1, 16, 16, 16))
        (sum(logits.mean() for logits in output.logits) + output.modality_logits.mean()).backward()
        assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []

    def test_gradients_are_the_same_whether_places_compute_again_or_keep(self):
        network, image = make_network(), torch.randn(1, 1, 16, 16, 16)
        gradients = []
        for recomputes in (True, False):
            network.zero_grad()
            for place in network.modules():
                if isinstance(place, FusionPlace):
                    place.recomputes = recomputes
            network.set_context(context([[0, -1]], [2]))
            network(image).logits[0].square().mean().backward()
            gradients.append(
                {name: own.grad.clone() for name, own in network.named_parameters() if own.grad is not None}
            )
        torch.testing.assert_close(*gradients)

    def test_checkpoint_has_neither_context_nor_the_encoder_twice(self):
        network = make_network()
        network.set_context(context([[0]], [0]))
        names = network.state_dict().keys()
        assert not any("context" in name or name.startswith("decoder.encoder") for name in names)

    def test_weights_of_another_collection_load_through_nnunets_own_function(self, tmp_path):
        from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

        other = HermesUNet(**{**other_collection_arguments(), "num_classes": 9, "num_modalities": 5})
        torch.save({"network_weights": other.state_dict()}, tmp_path / "checkpoint.pth")
        network = HermesUNet(**other_collection_arguments())
        load_pretrained_weights(network, str(tmp_path / "checkpoint.pth"))
        own, loaded = network.state_dict(), other.state_dict()
        assert torch.equal(
            own["encoder.stages.0.blocks.0.conv1.conv.weight"], loaded["encoder.stages.0.blocks.0.conv1.conv.weight"]
        )
        assert own["encoder_fusion.2.seg_layers.priors.tasks"].shape == (TASKS + 1, 16)
        assert own["decoder.heads.0.seg_layers.classifiers.weight"].shape == (TASKS + 1, 4)
        assert own["encoder.stem.convs.0.norm.seg_layers.modalities.gain"].shape == (3, 4)


def other_collection_arguments():
    return {
        "input_channels": 1,
        "n_stages": 3,
        "features_per_stage": [4, 8, 16],
        "conv_op": nn.Conv3d,
        "kernel_sizes": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "n_blocks_per_stage": [1, 1, 1],
        "num_classes": TASKS,
        "n_conv_per_stage_decoder": [1, 1],
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "num_modalities": 3,
        "modality_norms": True,
    }


class TestMemoryEstimate:
    def test_counts_fusion_places_and_heads_on_top_of_the_convolutions(self):
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        arguments = other_collection_arguments()
        network = HermesUNet(**arguments, rows_per_case=2, deep_supervision=True)
        own = ("num_modalities", "modality_norms")
        plain_arguments = {name: value for name, value in arguments.items() if name not in own}
        plain = ResidualEncoderUNet(**{**plain_arguments, "num_classes": 2})
        fusion = 4**3 * 4 * network.encoder_fusion["2"].blocks[0].elements_per_voxel
        size = (16, 16, 16)
        assert network.compute_conv_feature_map_size(size) == plain.compute_conv_feature_map_size(size) + fusion


@pytest.mark.slow
class TestCompilation:
    def test_changing_contexts_neither_break_the_graph_nor_compile_again(self):
        from torch._dynamo.testing import CompileCounter
        from torch._dynamo.utils import counters

        torch._dynamo.reset()
        counters.clear()
        counter = CompileCounter()
        network = make_network(deep_supervision=True)
        compiled = torch.compile(network, backend=counter)
        for tasks, modalities in (([[0, 1], [2, -1]], [0, 2]), ([[5, -1], [3, 4]], [1, 1]), ([[2, 3], [4, 5]], [0, 1])):
            network.set_context(context(tasks, modalities))
            compiled(torch.randn(2, 1, 16, 16, 16))
        assert counter.frame_count == 1
        assert not counters["graph_break"]

    def test_the_loss_gets_the_whole_context_of_a_compiled_network(self, monkeypatch):
        def gone(*_, **__):
            raise AssertionError("an empty tuple in compiled networks of PyTorch 2.11")

        torch._dynamo.reset()
        monkeypatch.setattr(ContextBatch, "_replace", gone)
        network = make_network(deep_supervision=True)
        told = ContextBatch(torch.tensor([[0, 1, 2]]), torch.tensor([1]), None, torch.ones(1, 1, 9, dtype=torch.bool))
        network.set_context(told.on(torch.device("cpu")))
        output = torch.compile(network, backend="eager")(torch.randn(2, 1, 16, 16, 16))
        assert len(output.context) == len(told)
        assert output.context.own_rows == 2
        assert output.context.negatives.shape == (2, 1, 9)
