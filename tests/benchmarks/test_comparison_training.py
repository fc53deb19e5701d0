"""What the comparison changes in a training: augmentation, trainer, first logits, networks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hermes_nnunet.collection import Case, Collection
from hermes_nnunet.learning.training.case_context import LastCase


class TestAugmentationOfCt:
    def test_without_changes_of_values_only_noise_blur_and_geometry_are_left(self):
        from comparison.augmentation import without_changes_of_values
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        transforms = nnUNetTrainer.get_training_transforms((8, 8, 8), (-0.5, 0.5), [[1, 1, 1]], None, False)
        left = [
            type(getattr(each, "transform", each)).__name__ for each in without_changes_of_values(transforms).transforms
        ]
        assert left == [
            "SpatialTransform",
            "GaussianNoiseTransform",
            "GaussianBlurTransform",
            "SimulateLowResolutionTransform",
            "RemoveLabelTransform",
            "DownsampleSegForDSTransform",
        ]


class TestTrainerOfTheComparison:
    def trainer(self, **changes):
        from comparison.recipe import Recipe
        from comparison.trainers.comparison_trainers import ComparisonHermesTrainer

        trainer = object.__new__(ComparisonHermesTrainer)
        trainer.recipe = Recipe(20, **changes)
        trainer.last_case = LastCase()
        trainer.collection = Collection(
            (), ("CT", "cineMRI", "unknown"), {}, {name: Case("m", name, name) for name in ("CT", "cineMRI")}
        )
        return trainer

    def number_of_transforms(self, trainer, modality):
        transforms = trainer.get_training_transforms((8, 8, 8), (-0.5, 0.5), [[1, 1, 1]], None, False)
        trainer.last_case(modality)
        applied = []
        for each in getattr(transforms, "of_kind", {"any": transforms}).values():
            for one in each.transforms:
                one.apply = lambda patch, one=one, **_: applied.append(one) or patch
        transforms(image=torch.zeros(1, 8, 8, 8), segmentation=torch.zeros(1, 8, 8, 8))
        return len(applied)

    def test_changes_of_values_are_left_out_of_cts_only(self):
        keeping, alike = self.trainer(ct_augmentation="keeps values"), self.trainer()
        whole = self.number_of_transforms(alike, "CT")
        assert self.number_of_transforms(keeping, "cineMRI") == whole
        assert self.number_of_transforms(keeping, "CT") == whole - 4  # brightness, contrast, and gamma twice

    def test_the_network_of_the_recipe_is_in_the_plans(self):
        arguments = {"n_stages": 3, "features_per_stage": [8, 16, 32]}
        configuration = {"architecture": {"network_class_name": "HermesUNet", "arch_kwargs": arguments}}
        plans = {"configurations": {"3d_fullres": configuration}}
        trainer = self.trainer(network="comparison.networks.FusedAtBottleneckUNet", width_factor=1.5)
        changed = trainer.plans_of_recipe(plans)["configurations"]["3d_fullres"]["architecture"]
        assert changed["network_class_name"] == "comparison.networks.FusedAtBottleneckUNet"
        assert changed["arch_kwargs"]["features_per_stage"] == [12, 24, 48]

    def initialised(self, monkeypatch, network, **changes):
        from comparison.trainers.comparison_trainers import HermesTrainer

        def initialize(trainer):
            trainer.network = network
            trainer.optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

        monkeypatch.setattr(HermesTrainer, "initialize", initialize)
        monkeypatch.setattr(HermesTrainer, "bare_network", property(lambda trainer: trainer.network))
        trainer = self.trainer(**changes)
        trainer.dataset_class = lambda *_: "data set"
        trainer.preprocessed_dataset_folder = trainer.collection = None
        trainer.do_split = lambda: (["a", "b"], ["c"])
        trainer.initialize()
        return trainer

    @pytest.mark.parametrize(("gradient_clipping", "step"), [(1.0, 1.0), (5.0, 5.0), (12.0, 50.0)])
    def test_gradients_are_clipped_before_a_step_where_nnunet_would_not(self, monkeypatch, gradient_clipping, step):
        network = nn.Linear(4, 1, bias=False)
        trainer = self.initialised(monkeypatch, network, gradient_clipping=gradient_clipping)
        before = network.weight.detach().clone()
        network.weight.grad = torch.full((1, 4), 25.0)  # of norm 50
        trainer.optimizer.step()
        assert torch.linalg.vector_norm(network.weight - before).item() == pytest.approx(step, rel=1e-4)

    def test_extra_tasks_are_those_of_the_recipe(self, monkeypatch):
        assert self.initialised(monkeypatch, nn.Linear(1, 1), extra_tasks=5).extra_tasks == 5

    @pytest.mark.parametrize(("average_decay", "expected"), [(0.99, 1.0), (0.25, 1.6875)])
    def test_the_average_of_the_weights_has_the_decay_of_the_recipe(self, monkeypatch, average_decay, expected):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 1.0)
        trainer = self.initialised(monkeypatch, network, averaged_weights=True, average_decay=average_decay)
        for gradient in (1.0, -1.0, -1.0):  # the weight is 0, 1, 2
            network.weight.grad = torch.full((1, 1), gradient)
            trainer.optimizer.step()
        trainer.average.exchange()
        assert network.weight.item() == pytest.approx(expected, rel=1e-6)

    def test_first_logits_are_the_tasks_frequencies(self, monkeypatch):
        from comparison.trainers import comparison_trainers

        asked = []

        def task_frequencies(*arguments):
            asked.append(arguments)
            return np.array([0.5, 0.01], np.float32)

        monkeypatch.setattr(comparison_trainers, "task_frequencies", task_frequencies)
        for first_logits, expected in (("alike", [-4, -4, -4]), ("frequency", [0, math.log(0.01 / 0.99), -4])):
            network = nn.Module()
            head = nn.Module()
            head.seg_layers = nn.ModuleDict({"classifiers": nn.Linear(2, 3)})  # two tasks and the null row
            nn.init.constant_(head.seg_layers["classifiers"].bias, -4)
            network.decoder = nn.Module()
            network.decoder.heads = nn.ModuleList([head])
            self.initialised(monkeypatch, network, first_logits=first_logits)
            assert head.seg_layers["classifiers"].bias.tolist() == pytest.approx(expected, abs=1e-6)
        assert asked == [("data set", ["a", "b"], None)]

    @pytest.mark.parametrize(("epoch", "expected"), [(0, 0.0), (1, 0.4), (2, 0.8), (3, 1.0), (19, 1.0)])
    def test_the_logarithm_of_the_dice_fades_over_the_batches_of_the_recipe(self, monkeypatch, epoch, expected):
        from types import SimpleNamespace

        from comparison.trainers.comparison_trainers import HermesTrainer

        monkeypatch.setattr(HermesTrainer, "on_train_epoch_start", lambda _: None)
        trainer = self.trainer(dice_fade_batches=500)
        trainer.recipe = replace(trainer.recipe, batches=4000)  # 200 an epoch
        trainer.current_epoch, trainer.dice_exponents = epoch, (0.0, 1.0)
        trainer.loss = SimpleNamespace(dice_exponent=-1)
        trainer.on_train_epoch_start()
        assert trainer.loss.dice_exponent == pytest.approx(expected)
        trainer.recipe = replace(trainer.recipe, dice_fade_batches=0)
        trainer.on_train_epoch_start()
        assert trainer.loss.dice_exponent == pytest.approx(epoch / 19)
        trainer.recipe = replace(trainer.recipe, dice_fade_batches=None)
        trainer.loss.dice_exponent = -1  # HermesTrainer's own
        trainer.on_train_epoch_start()
        assert trainer.loss.dice_exponent == -1

    def test_the_loss_is_that_of_the_recipe(self, monkeypatch):
        from types import SimpleNamespace

        from comparison.trainers.comparison_trainers import HermesTrainer

        def build(trainer):
            settings = (
                *("cross_entropy_weight", "dice_exponents", "absent_weight", "adaptive_dice"),
                "exclusion_weight",
            )
            return SimpleNamespace(scale_weights=(0.6, 0.4), **{name: getattr(trainer, name) for name in settings})

        monkeypatch.setattr(HermesTrainer, "_build_loss", build)
        assert self.trainer()._build_loss().scale_weights == (0.6, 0.4)
        changes = {"cross_entropy_weight": 7.0, "absent_weight": 0.3, "adaptive_dice": True, "exclusion_weight": 0.5}
        exponents = {"first_dice_exponent": 0.25, "last_dice_exponent": 0.75}
        loss = self.trainer(supervision="full resolution", **changes, **exponents)._build_loss()
        assert loss.scale_weights == (1.0, 0.0)
        assert {name: getattr(loss, name) for name in changes} == changes
        assert loss.dice_exponents == (0.25, 0.75)


class TestTaskFrequencies:
    def test_are_shares_of_the_images_that_are_annotated_for_a_task(self):
        from comparison.frequencies import task_frequencies

        from hermes_nnunet.collection import Case, Collection, Member, Task

        def member(name, *tasks):
            return Member(name, name, tasks, {}, None, {"CT": None}, {}, ".nii.gz", 1.0)

        collection = Collection(
            tasks=(Task("a/x", (1, 2), 1), Task("b/y", (3,), 3), Task("b/z", (4,), 4)),
            modalities=("CT",),
            members={"a": member("a", "a/x"), "b": member("b", "b/y", "b/z")},
            cases={case: Case(case[0], "CT", case) for case in ("a1", "a2", "b1")},
        )
        labels = {case: np.zeros((1, 10, 10, 10), np.int16) for case in collection.cases}
        labels["a1"][0, 0, 0, :4] = (1, 1, 2, 3)
        labels["a2"][0, 0, 0, 0] = 2
        labels["b1"][0, 0, 0, :6] = (1, 1, 1, 1, 1, 3)

        class Dataset:
            def load_case(self, case):
                return None, labels[case], None, {}

        frequencies = task_frequencies(Dataset(), ["a1", "a2", "b1"], collection)
        assert frequencies.tolist() == pytest.approx([4 / 2000, 1 / 1000, 1 / 1000])  # b/z: at least one voxel


ARGUMENTS_OF_NETWORK = {
    "num_modalities": 3,
    "rows_per_case": 2,
    "tokens_per_modality": 10,
    "encoder_type": "residual",
    "n_stages": 4,
    "features_per_stage": [4, 8, 8, 8],
    "conv_op": nn.Conv3d,
    "kernel_sizes": [[3, 3, 3]] * 4,
    "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
    "n_blocks_per_stage": [1] * 4,
    "num_classes": 5,
    "n_conv_per_stage_decoder": [1] * 3,
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"affine": True},
    "deep_supervision": True,
}


class TestChangedNetworks:
    def network(self, name):
        from comparison import networks

        from hermes_nnunet.networks.context_batch import ContextBatch

        network = getattr(networks, name)(1, **ARGUMENTS_OF_NETWORK)
        network.apply(network.initialize)
        network.set_context(ContextBatch(torch.tensor([[4, 1]]), torch.tensor([0])))
        assert network(torch.randn(1, 1, 16, 16, 16)).logits[0].shape == (1, 2, 16, 16, 16)
        return network

    @pytest.mark.parametrize(
        ("name", "encoder", "decoder"),
        [
            ("HermesUNet", ["2", "3"], ["2"]),
            ("FusedAtBottleneckUNet", ["3"], []),
            ("FusedFromStride2UNet", ["1", "2", "3"], ["1", "2"]),
        ],
    )
    def test_places_of_fusion(self, name, encoder, decoder):
        network = self.network(name)
        assert list(network.encoder_fusion) == encoder
        assert list(network.decoder.fusion) == decoder

    def test_heads_without_norm_see_the_size_of_the_tokens(self):
        features, rows = torch.randn(1, 4, 2, 2, 2), torch.zeros(1, 1, dtype=torch.long)
        for name, sees in (("HermesUNet", False), ("HeadsWithoutNormUNet", True)):
            head = self.network(name).decoder.heads[0]
            nn.init.ones_(head.refine.project.weight)
            tokens = torch.randn(1, 1, 24)
            same = torch.allclose(head(tokens, features, rows), head(3 * tokens, features, rows), atol=1e-3)
            assert same != sees


class TestMaskedUNet:
    def network(self):
        from comparison.networks import MaskedUNet

        network = MaskedUNet(1, **ARGUMENTS_OF_NETWORK)
        network.apply(network.initialize)
        return network

    def test_rows_of_the_loss_are_the_channels_of_the_contexts_tasks(self):
        from hermes_nnunet.networks.context_batch import ContextBatch

        network, images = self.network(), torch.randn(2, 1, 16, 16, 16)
        network.set_context(ContextBatch(torch.tensor([[4, 1], [0, -1]]), torch.tensor([0, 1])))
        output = network(images)
        channels = network.network(images)[0]
        assert [logits.shape[2] for logits in output.logits] == [16, 8]
        torch.testing.assert_close(output.logits[0][0], channels[0, [4, 1]])
        torch.testing.assert_close(output.logits[0][1, 0], channels[1, 0])

    def test_predicts_the_channels_that_are_asked_for(self):
        from hermes_nnunet.networks.context_batch import ContextBatch
        from hermes_nnunet.networks.contextual import ABSENT_LOGIT

        network, image = self.network().eval(), torch.randn(1, 1, 16, 16, 16)
        network.decoder.deep_supervision = False
        network.set_context(ContextBatch(torch.tensor([[4, 1]]), torch.tensor([0]), torch.tensor([-1, 1, -1, -1, 0])))
        with torch.no_grad():
            logits, channels = network(image), network.network(image)
        torch.testing.assert_close(logits[:, [1, 4]], channels[:, [1, 4]])
        assert (logits[:, [0, 2, 3]] == ABSENT_LOGIT).all()

    def test_weighs_outputs_as_hermes_does(self):
        assert self.network().supervision_weights == pytest.approx([2 / 3, 1 / 3])
        assert self.network().supervision_scales == [[1, 1, 1], [0.5, 0.5, 0.5]]
