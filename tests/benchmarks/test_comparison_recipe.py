"""What the trainings of the comparison are: arms, sizes, rules, recipes, folds."""

import json

import numpy as np
import pytest
import torch


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

    @pytest.mark.parametrize(
        ("arm", "read", "not_read"),
        [
            ("addition", {"addition_rate": 1e-3}, {"base_share": 0.5}),
            ("transfer", {"base_share": 0.5}, {"addition_rate": 1e-3}),
            ("hermes", {"learning_rate": 1e-3}, {"addition_rate": 1e-3, "first_layer_share": 0.5}),
        ],
    )
    def test_settings_that_a_trainer_does_not_read_make_no_other_training(self, arm, read, not_read):
        from comparison.recipe import Recipe
        from comparison.running import Training

        training = Training("a", arm, Recipe(100))
        assert training.is_run_with(Recipe(100, **not_read))
        assert not training.is_run_with(Recipe(100, **read))


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
