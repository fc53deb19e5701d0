"""What benchmarks/accuracy.py is made of; the trainings themselves take hours."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hermes_nnunet.collection import Case, Collection
from hermes_nnunet.learning.training.case_context import LastCase

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def box(*corner, size=4, shape=(16, 16, 16)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(start, start + size) for start in corner)] = True
    return mask


class TestScores:
    def test_dice(self):
        from comparison.scoring import dice

        assert dice(box(0, 0, 0), box(0, 0, 2)) == pytest.approx(0.5)
        assert math.isnan(dice(box(0, 0, 0, size=0), box(0, 0, 0, size=0)))

    def test_hd95_of_a_shift_is_the_shift_in_mm(self):
        from comparison.scoring import hd95

        assert hd95(box(0, 0, 0), box(0, 0, 0), (1, 1, 1)) == 0
        assert hd95(box(2, 2, 2), box(2, 2, 5), (1, 1, 2.5)) == pytest.approx(7.5)

    def test_hd95_ignores_a_few_far_voxels_but_not_many(self):
        from comparison.scoring import hd95

        few, many = box(0, 0, 0, size=6), box(0, 0, 0, size=6)
        few[15, 15, 15] = True
        many[12:, 12:, 12:] = True
        true = box(0, 0, 0, size=6)
        assert hd95(few, true, (1, 1, 1)) == 0
        assert hd95(many, true, (1, 1, 1)) > 10

    def test_hd95_of_nothing_found_is_the_diagonal_and_of_nothing_there_undefined(self):
        from comparison.scoring import hd95

        nothing = box(0, 0, 0, size=0)
        assert hd95(nothing, box(0, 0, 0), (3, 4, 0)) == pytest.approx(16 * 5)
        assert math.isnan(hd95(box(0, 0, 0), nothing, (1, 1, 1)))

    def test_tasks_count_alike_however_many_cases(self):
        from comparison.scoring import Score, by_member

        scores = [Score("a", "1", "x", 1.0, 0), Score("a", "2", "x", 0.5, 2), Score("a", "1", "y", 0.25, 3)]
        members = by_member([*scores, Score("b", "1", "z", 0.0, 10)])
        assert members == {"a": (0.5, 2.0), "b": (0.0, 10.0)}


class TestBudgets:
    @pytest.mark.parametrize("batches", [40, 200, 300])
    def test_every_arm_has_as_many_batches_in_all(self, batches):
        from comparison.arms import arm

        totals = {
            name: sum(training.recipe.batches for training in arm(name, batches=batches))
            for name in ("singles", "naive", "masked", "hermes")
        }
        assert set(totals.values()) == {4 * batches}

    def test_an_ablation_changes_one_thing(self):
        from comparison.arms import ABLATIONS, ablation, arm

        (hermes,) = arm("hermes", batches=100)
        names = set()
        for name, change in ABLATIONS.items():
            (training,) = ablation(name, batches=100)
            differences = {k: v for k, v in vars(training.recipe).items() if v != vars(hermes.recipe)[k]}
            assert differences == change
            names.add(training.name)
        assert len(names) == len(ABLATIONS)

    def test_ablations_of_oversampling_change_what_nnunet_draws(self):
        from comparison.arms import ABLATIONS, ablation, arm
        from comparison.data import BATCH_SIZE
        from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

        def share_of_forced(recipe):
            loader = object.__new__(nnUNetDataLoader)
            loader.batch_size, loader.oversample_foreground_percent = BATCH_SIZE, recipe.foreground_oversampling
            force = loader._probabilistic_oversampling
            if not recipe.probabilistic_oversampling:
                force = loader._oversample_last_XX_percent
            np.random.seed(0)
            return np.mean([force(patch) for _ in range(1000) for patch in range(BATCH_SIZE)])

        changed = [name for name, change in ABLATIONS.items() if any("oversampling" in key for key in change)]
        trainings = [*arm("hermes", batches=20), *(ablation(name, batches=20)[0] for name in changed)]
        shares = {training.name: share_of_forced(training.recipe) for training in trainings}
        assert list(shares.values()) == pytest.approx([0.5, 1, 0.33, 0], abs=0.03)

    def test_the_masked_merge_has_no_ablations_of_hermes_network(self, tmp_path, capsys):
        import accuracy
        from comparison.arms import can_be_ablated

        assert can_be_ablated("nnU-Net's norms", "hermes")
        assert can_be_ablated("loss of the paper", "masked")
        assert can_be_ablated("LAMB", "masked")
        assert not can_be_ablated("one learning rate", "masked")
        arguments = [
            str(tmp_path),
            str(tmp_path / "work"),
            "--ablated",
            "masked",
            "--ablations",
            "no norm in the heads",
        ]
        with pytest.raises(SystemExit):
            accuracy.main(arguments)
        assert (
            "'no norm in the heads' changes HermesUNet, which --ablated masked does not have" in capsys.readouterr().err
        )
        assert not (tmp_path / "work").exists()

    def test_an_ablation_keeps_its_arm_fold_and_seed(self):
        from comparison.arms import ablation

        (training,) = ablation("loss of the paper", of_arm="masked", batches=40, fold=1, seed=2)
        assert (training.name, training.arm) == ("masked_40_f1_s2_loss_of_the_paper", "masked")
        assert (training.fold, training.recipe.seed, training.recipe.first_dice_exponent) == (1, 2, 1.0)


class TestPlans:
    def test_naive_merge_exports_as_nnunet_does(self):
        from comparison.data import _naive
        from nnunetv2.preprocessing.resampling.utils import recursive_find_resampling_fn_by_name

        configuration = {
            "resampling_fn_probabilities": "resample_logits_by_task",
            "resampling_fn_probabilities_kwargs": {"force_separate_z": None},
            "architecture": {"network_class_name": "HermesUNet", "arch_kwargs": {"num_modalities": 2, "n_stages": 3}},
        }
        plans = _naive({"configurations": {"3d_fullres": configuration}, "label_manager": "HermesLabelManager"})
        changed = plans["configurations"]["3d_fullres"]
        assert plans["label_manager"] == "LabelManager"
        assert changed["architecture"]["arch_kwargs"] == {"n_stages": 3}
        resample = recursive_find_resampling_fn_by_name(changed["resampling_fn_probabilities"])
        options = changed["resampling_fn_probabilities_kwargs"]
        logits = resample(torch.ones(2, 4, 4, 4), (6, 6, 6), (3, 3, 3), (2, 2, 2), **options)
        assert isinstance(logits, np.ndarray | torch.Tensor)  # what LabelManager takes
        assert logits.shape == (2, 6, 6, 6)

    def test_a_change_of_arguments_keeps_the_network(self):
        from comparison.data import with_architecture

        configuration = {"architecture": {"network_class_name": "HermesUNet", "arch_kwargs": {"n_stages": 3}}}
        plans = {"configurations": {"3d_fullres": configuration}}
        changed = with_architecture(plans, modality_norms=False)["configurations"]["3d_fullres"]["architecture"]
        assert changed == {"network_class_name": "HermesUNet", "arch_kwargs": {"n_stages": 3, "modality_norms": False}}
        assert configuration["architecture"]["arch_kwargs"] == {"n_stages": 3}


class TestSize:
    @pytest.fixture
    def workplace(self, tmp_path, monkeypatch):
        """A workplace of a size whose planner is not run."""
        from comparison import data

        monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "true"))
        for number in data.MEMBERS:
            (tmp_path / "source" / f"Dataset{number}_M{number}").mkdir(parents=True, exist_ok=True)

        def make(size_name=None):
            named = {} if size_name is None else {"size_name": size_name}
            made = data.Workplace(tmp_path / "work", tmp_path, **named)
            made.link_members(tmp_path / "source")
            return made

        return make

    def test_all_plans_of_a_folder_have_it(self, workplace, tmp_path):
        made = workplace("6 mm")
        asked = []
        architecture = {"network_class_name": "HermesUNet", "arch_kwargs": {}}
        plans = {"configurations": {"3d_fullres": {"architecture": architecture}}, "hermes": {}}

        def plan(_, command, *arguments, **__):
            asked.append(arguments)
            folder = tmp_path / "work" / "nnUNet_preprocessed" / "Dataset900_Real900"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "HermesSPlans.json").write_text(json.dumps(plans))

        made.run = plan
        made.prepare_collection()
        assert [arguments[-3:] for arguments in asked if "-overwrite_target_spacing" in arguments] == [(6, 6, 6)]
        for name in ("HermesSPlans", "MaskedPlans", "NaivePlans"):
            file = tmp_path / "work" / "nnUNet_preprocessed" / "Dataset900_Real900" / f"{name}.json"
            planned = json.loads(file.read_text())["configurations"]["3d_fullres"]
            arguments = planned["architecture"]["arch_kwargs"]
            assert planned["patch_size"] == [24, 24, 24]
            assert arguments["features_per_stage"] == [8, 16, 32, 64]
            assert len(arguments["strides"]) == arguments["n_stages"] == 4

    def test_a_folder_keeps_its_size(self, workplace):
        from hermes_nnunet.errors import HermesError

        workplace("6 mm")
        workplace("6 mm")
        with pytest.raises(HermesError, match="prepared with --size '6 mm': give --size '3 mm' another folder"):
            workplace()

    def test_a_folder_of_before_there_were_sizes_is_of_the_usual_one(self, workplace, tmp_path):
        from hermes_nnunet.errors import HermesError

        (tmp_path / "work" / "nnUNet_preprocessed").mkdir(parents=True)
        workplace()
        with pytest.raises(HermesError, match="prepared with --size '3 mm'"):
            workplace("6 mm")

    def test_rows_of_other_sizes_stay(self, tmp_path):
        from comparison.rows import add_row, read_rows

        row = {"arm": "hermes", "batches_per_member": 10, "fold": 0, "seed": 0}
        for size in ({}, {"size": "6 mm"}, {"size": "3 mm"}):
            add_row(tmp_path / "accuracy.json", {**row, **size}, "Is it?")
        assert [own.get("size") for own in read_rows(tmp_path / "accuracy.json")] == ["3 mm", "6 mm"]


class TestRuleOfCT:
    @pytest.fixture
    def make(self, tmp_path, monkeypatch):
        """Workplaces whose commands only note their names; the plans are there already."""
        from comparison import data

        monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "true"))
        folder = tmp_path / "nnUNet_preprocessed" / "Dataset900_Real900"
        folder.mkdir(parents=True)
        configuration = {"architecture": {"network_class_name": "HermesUNet", "arch_kwargs": {}}}
        plans = {
            "configurations": {"3d_fullres": configuration},
            "hermes": {"intensity_clipping": {"CT": {"range": [-10, 20], "mean": 5, "std": 7}}},
        }
        (folder / "HermesSPlans.json").write_text(json.dumps(plans))

        for number in data.MEMBERS:
            (tmp_path / "nnUNet_raw" / f"Dataset{number}_M{number}").mkdir(parents=True)

        def make(ct_rule, absent=False):
            workplace = data.Workplace(tmp_path, tmp_path, ct_rule)
            commands = []
            workplace.run = lambda _, command, *arguments, **__: commands.append(command)
            workplace.prepare_collection(absent=absent)
            read = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("MaskedPlans", "HermesSPlans")}
            return commands, {name: plans["hermes"]["intensity_clipping"]["CT"] for name, plans in read.items()}

        return make

    @pytest.mark.parametrize(
        ("ct_rule", "expected"),
        [
            ("labelled", {"range": [-10, 20], "mean": 5, "std": 7}),
            ("z-score", {"range": [-10, 20]}),
            ("paper", {"range": [-991, 500]}),
        ],
    )
    def test_is_set_before_preprocessing_in_the_plans_of_all_arms(self, make, ct_rule, expected):
        commands, rules = make(ct_rule)
        assert commands == ["hermes_nnunet", "nnUNetv2_plan_and_preprocess", "nnUNetv2_preprocess"]
        assert list(rules.values()) == [expected] * 2
        assert make(ct_rule) == ([], rules)

    def test_members_say_what_their_region_of_the_body_does_not_show(self, make, tmp_path):
        from hermes_nnunet.data.merge import read_merge_file
        from hermes_nnunet.errors import HermesError

        make("labelled", absent=True)
        members = read_merge_file(tmp_path / "merge_900.yaml", name="All", into=900).members
        absent = {member.dataset: (member.modality, member.absent) for member in members}
        heart, head = ("M303", "M304"), ("M301", "M302")
        assert absent == {301: ("CT", heart), 302: ("CT", heart), 303: ("cineMRI", head), 304: ("LGE-MRI", head)}
        with pytest.raises(HermesError, match="give other members another number"):
            make("labelled")

    def test_a_folder_keeps_its_rule(self, make):
        from hermes_nnunet.errors import HermesError

        make("labelled")
        with pytest.raises(HermesError, match="prepared with --ct labelled: give --ct paper another folder"):
            make("paper")

    def test_rows_tell_it(self):
        import accuracy

        assert accuracy._row_name("hermes", "labelled") == "hermes"
        assert accuracy._row_name("hermes", "z-score") == "hermes, z-score of each CT"
        assert accuracy._row_name("hermes", "paper") == "hermes, CT range of the paper"
        assert accuracy._row_name("singles", "paper") == "singles"  # nnU-Net's own rule


class TestRecipe:
    def test_comes_back_through_the_environment(self, tmp_path, monkeypatch):
        from comparison.recipe import ENVIRONMENT_VARIABLE, Recipe

        recipe = Recipe(100, seed=3, averaged_weights=True)
        recipe.write(tmp_path / "recipe.json")
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "recipe.json"))
        assert Recipe.of_environment() == recipe

    def test_a_training_of_before_there_were_extra_tasks_had_none(self, tmp_path):
        from comparison.recipe import Recipe

        path = tmp_path / "recipe.json"
        Recipe(100).write(path)
        content = json.loads(path.read_text())
        del content["recipe"]["extra_tasks"]
        path.write_text(json.dumps(content))
        assert Recipe.read(path) == Recipe(100, extra_tasks=0) != Recipe(100)

    def test_plain_trainings_are_the_same_whatever_the_loss_of_hermes(self):
        from comparison.recipe import Recipe
        from comparison.running import Training

        old, new = Recipe(100), Recipe(100, cross_entropy_weight=7.0, absent_weight=0.5, extra_tasks=0)
        assert Training("a", "single", new).is_run_with(old)
        assert Training("a", "naive", new).is_run_with(old)
        assert not Training("a", "masked", new).is_run_with(old)
        assert not Training("a", "single", Recipe(100, seed=1)).is_run_with(old)


class TestFolds:
    @pytest.fixture
    def splits(self, tmp_path):
        cases = {part: [f"{m}__{part}{i}" for m in ("a", "b") for i in range(3)] for part in ("train", "val")}
        path = tmp_path / "splits_final.json"
        path.write_text(json.dumps([cases] * 3))
        return path

    def test_few_cases_of_one_member(self, splits):
        from comparison.splits import Reduction, add_folds, fold_of

        reductions = [Reduction("b", 0), Reduction("a", 2)]
        add_folds(splits, reductions, of_collection=True)
        fold = json.loads(splits.read_text())[fold_of(reductions[1], reductions)]
        assert fold["train"] == ["a__train0", "a__train1", "b__train0", "b__train1", "b__train2"]
        assert fold["val"] == ["a__val0", "a__val1", "a__val2"]

    def test_a_member_left_out_is_not_validated_either(self, splits):
        from comparison.splits import Reduction, add_folds

        add_folds(splits, [Reduction("b", 0)], of_collection=True)
        fold = json.loads(splits.read_text())[3]
        assert {case[0] for case in fold["train"] + fold["val"]} == {"a"}

    def test_adding_twice_leaves_one_of_each(self, splits):
        from comparison.splits import Reduction, add_folds

        for _ in range(2):
            add_folds(splits, [Reduction("a", 1)], of_collection=True)
        assert len(json.loads(splits.read_text())) == 4


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


class TestResult:
    def test_its_folder_is_there_before_the_first_training(self, tmp_path, monkeypatch):
        import accuracy

        class Workplace:
            def __init__(self, *_):
                pass

            def link_members(self, _):
                raise KeyboardInterrupt

        monkeypatch.setattr(accuracy, "Workplace", Workplace)
        results = tmp_path / "new" / "results"
        with pytest.raises(KeyboardInterrupt):
            accuracy.main([str(tmp_path), str(tmp_path / "work"), "--results", str(results)])
        assert results.is_dir()

    def test_says_what_the_network_of_the_run_was(self, tmp_path, monkeypatch):
        from comparison import data
        from comparison.arms import arm

        monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "true"))
        (tmp_path / "nnUNet_preprocessed" / "Dataset900_Real900").mkdir(parents=True)
        workplace = data.Workplace(tmp_path, tmp_path)
        (training,) = arm("hermes", batches=20)
        model = training.fold_folder(workplace).parent
        model.mkdir(parents=True)
        planned = {"patch_size": [40, 40, 40], "batch_size": 2, "spacing": [3, 3, 3], "normalization_schemes": ["Z"]}
        network = {"features_per_stage": [16, 32], "n_blocks_per_stage": [1, 2], "modality_norms": True}
        architecture = {"network_class_name": "a.Network", "arch_kwargs": {**network, "n_stages": 2}}
        clipping = {"CT": {"range": [-125, 1590]}}
        plans = {
            "hermes": {"intensity_clipping": clipping, "rows_per_case": 3},
            "configurations": {"3d_fullres": {**planned, "data_identifier": "D", "architecture": architecture}},
        }
        (model / "plans.json").write_text(json.dumps(plans))
        told = training.configuration(workplace)
        assert told == {**planned, "intensity_clipping": clipping, "network": "a.Network", **network}

    def test_a_row_takes_the_place_of_its_like(self, tmp_path):
        from comparison.rows import add_row, read_rows

        def row(arm, fold, dice):
            tasks = {"x": {"dice": dice, "hd95_mm": 1.0}}
            return {"arm": arm, "batches_per_member": 10, "fold": fold, "seed": 0, "members": {"a": tasks}}

        path = tmp_path / "accuracy.json"
        for new in (row("hermes", 0, 0.1), row("hermes", 1, 0.2), row("masked", 0, 0.3), row("hermes", 0, 0.4)):
            add_row(path, new, "Is it?\n\nMore.")
        assert json.loads(path.read_text())["question"] == "Is it?"
        rows = read_rows(path)
        assert [(r["fold"], r["arm"], r["members"]["a"]["x"]["dice"]) for r in rows] == [
            (0, "hermes", 0.4),
            (0, "masked", 0.3),
            (1, "hermes", 0.2),
        ]


class TestSeeds:
    @pytest.fixture
    def rows(self):
        def row(arm, seed, of_a, of_b, fold=0):
            members = {
                "a": {"x": {"dice": of_a, "hd95_mm": 10.0}, "y": {"dice": of_a + 0.1, "hd95_mm": 20.0}},
                "b": {"z": {"dice": of_b, "hd95_mm": 5.0}},
            }
            return {"arm": arm, "batches_per_member": 10, "fold": fold, "seed": seed, "members": members}

        return [
            row("hermes", 0, 0.2, 0.45),
            row("hermes", 1, 0.4, 0.65),
            row("masked", 0, 0, 0),
            row("hermes", 0, 1, 1, 1),
        ]

    def test_means_of_rows_and_of_members(self, rows):
        from comparison.tables import over_seeds

        means, members = over_seeds(rows[:2])
        assert means == [pytest.approx((0.35, 10)), pytest.approx((0.55, 10))]
        assert members == {"a": pytest.approx((0.35, 15)), "b": pytest.approx((0.55, 5))}

    def test_only_arms_with_several_seeds_of_a_fold_are_shown(self, rows, capsys):
        from comparison.tables import show_seeds

        show_seeds(rows)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "hermes" in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells == [
            "3 mm",
            "10",
            "0",
            "hermes",
            "2",
            "0.450 (10.0)",
            "0.350",
            "0.550",
            "0.350 (15.0)",
            "0.550 (5.0)",
        ]
        show_seeds(rows[1:])
        assert capsys.readouterr().out == ""


class TestQuestions:
    def test_are_asked_of_the_planners_range_of_ct_only(self, tmp_path, capsys):
        import accuracy

        with pytest.raises(SystemExit):
            accuracy.main([str(tmp_path), str(tmp_path / "work"), "--ct", "paper", "--questions", "synergy"])
        assert "--questions are asked of --ct labelled only" in capsys.readouterr().err
        assert not (tmp_path / "work").exists()

    def test_training_with_less_of_a_member_uses_the_fold_made_for_it(self):
        from comparison.arms import arm, left_out
        from comparison.running import Conditions
        from comparison.splits import Reduction

        reductions = [Reduction("a", 0), Reduction("b", 4)]
        without, few, other_seed = (
            left_out(reductions, reduction, Conditions(100, seed, "cpu"))
            for reduction, seed in ((reductions[0], 0), (reductions[1], 0), (reductions[1], 1))
        )
        (hermes,) = arm("hermes", batches=100)
        assert (without.fold, few.fold) == (3, 4)
        assert (without.recipe.batches, few.recipe.batches) == (300, hermes.recipe.batches)
        assert (few.recipe.seed, other_seed.recipe.seed) == (0, 1)
        assert len({without.name, few.name, other_seed.name, hermes.name}) == 4

    def test_what_a_member_gains_by_another(self):
        from comparison.questions import gains

        dice = {"all": {"a": 0.7, "b": 0.5}, "a": {"b": 0.4}, "b": {"a": 0.8}}
        np.testing.assert_allclose(gains(dice, ["a", "b"]), [[np.nan, 0.1], [-0.1, np.nan]])

    def test_results_of_other_seeds_stay_those_of_another_size_do_not(self, tmp_path):
        from comparison.questions import add_seed
        from comparison.running import Conditions

        path = tmp_path / "few_labels.json"
        for seed, dice in ((1, 0.1), (0, 0.2), (1, 0.3)):
            seeds = add_seed(path, "?", Conditions(10, seed, "cpu"), {"hermes": dice})
        assert json.loads(path.read_text())["seeds"] == {"0": {"hermes": 0.2}, "1": {"hermes": 0.3}}
        assert sorted(own["hermes"] for own in seeds) == [0.2, 0.3]
        assert add_seed(path, "?", Conditions(20, 0, "cpu"), {"hermes": 0.4}) == [{"hermes": 0.4}]

    def test_a_gain_that_rounds_to_nothing_has_no_minus(self):
        from comparison.questions import _signed

        assert [_signed(gain) for gain in (-0.0004, 0.0004, -0.0006)] == ["+0.000", "+0.000", "-0.001"]

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_pictures_are_drawn(self, tmp_path, seeds):
        from comparison import questions
        from matplotlib.image import imread

        change = np.array([[[np.nan, 0.1], [-0.05, np.nan]]] * seeds)
        questions._draw_synergy(change, ["a", "b"], tmp_path / "synergy.png")
        dice = {"single": {"4": 0.2, "8": 0.4, "all": 0.6}, "hermes": {"4": 0.5, "8": 0.55, "all": 0.6}}
        questions._draw_few_labels([dice] * seeds, tmp_path / "few.png")
        for name in ("synergy", "few"):
            picture = imread(tmp_path / f"{name}.png")
            assert picture.shape[0] > 300
            assert picture.std() > 0.01
