"""What benchmarks/long_training.py is made of; the trainings themselves take hours."""

import argparse
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A workplace of the long size whose commands are only noted."""
    from comparison import data

    monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "true"))
    for number in (900, *data.MEMBERS):
        (tmp_path / "nnUNet_preprocessed" / f"Dataset{number}_D{number}").mkdir(parents=True)
    made = data.Workplace(tmp_path, tmp_path, size_name="6 mm")
    made.commands_run = []
    made.run = lambda log, command, *arguments, **_: made.commands_run.append((log, command, *map(str, arguments)))
    return made


def made_row(arm, length, dice, fold=0, seed=0, hd95=10.0):
    members = {"a": {"x": {"dice": dice, "hd95_mm": hd95}}}
    return {"arm": arm, "batches_per_member": length, "fold": fold, "seed": seed, "members": members}


def options(**changes):
    asked = {"arms": (), "changes": (), "changed": "hermes", "averages": ()}
    return argparse.Namespace(**{**asked, **changes})


class TestRows:
    def test_every_arm_has_as_many_batches_in_all(self):
        import long_training

        rows = long_training.wanted(options(arms=("singles", "masked", "hermes")), 1000, 1, 2)
        assert {name: sum(own.recipe.batches for own in of_row) for name, of_row in rows.items()} == {
            "singles": 4000,
            "masked": 4000,
            "hermes": 4000,
        }
        assert {(own.fold, own.recipe.seed) for of_row in rows.values() for own in of_row} == {(1, 2)}

    def test_a_change_of_the_singles_is_one_of_each(self):
        import long_training

        (name, trainings), *others = long_training.wanted(
            options(changes=("nnU-Net's SGD",), changed="singles"), 1000, 0, 0
        ).items()
        assert (name, others) == ("singles, nnU-Net's SGD", [])
        assert {(own.recipe.optimizer, own.recipe.learning_rate) for own in trainings} == {("sgd", 1e-2)}
        assert len({own.name for own in trainings}) == 4

    def test_singles_have_no_changes_of_hermes(self):
        from comparison.arms import can_be_ablated

        assert can_be_ablated("nnU-Net's SGD", "singles")
        assert not can_be_ablated("plain Dice from the start", "singles")
        assert can_be_ablated("plain Dice from the start", "masked")
        assert not can_be_ablated("one learning rate", "masked")

    def test_averages_are_validated_after_the_training_that_keeps_them(self):
        import long_training

        rows = long_training.wanted(options(arms=("hermes",), averages=(0.99, 0.999)), 1000, 0, 0)
        assert list(rows) == ["hermes", "hermes, averaged weights 0.99", "hermes, averaged weights 0.999"]
        (hermes,), *averaged = rows.values()
        assert hermes.recipe.kept_averages == (0.99, 0.999)
        assert [own.trained for (own,) in averaged] == [hermes, hermes]
        assert len({hermes.name, *(own.name for (own,) in averaged)}) == 3

    def test_what_is_there_is_of_the_same_recipe_and_its_training_too(self, workplace, tmp_path):
        import long_training
        from comparison.rows import add_row

        ((name, trainings),) = long_training.wanted(options(arms=("hermes",)), 250, 0, 0).items()
        result = tmp_path / "long_training.json"
        new = {**made_row("hermes", 250, 0.5), "size": "6 mm", "recipe": vars(trainings[0].recipe)}
        add_row(result, new, "Is it?")
        assert not long_training.is_there(result, name, trainings, workplace)  # no training
        validation = trainings[0].validation(workplace)
        validation.mkdir(parents=True)
        (validation / "summary.json").write_text("{}")
        assert long_training.is_there(result, name, trainings, workplace)
        add_row(result, {**new, "recipe": {**new["recipe"], "learning_rate": 1.0}}, "Is it?")
        assert not long_training.is_there(result, name, trainings, workplace)

    def test_trainings_at_once_have_cores_of_their_own(self):
        from long_training import results_of

        if not hasattr(os, "sched_getaffinity"):
            pytest.skip("the system has no affinity of processes to cores")
        cores = os.sched_getaffinity(0)
        shares = list(results_of([lambda: frozenset(os.sched_getaffinity(0))] * 4, 2))
        assert len(shares) == 4
        assert set().union(*shares) <= cores
        assert len(set(shares)) <= 2
        assert os.sched_getaffinity(0) == cores  # of this thread, as before
        if len(cores) > 1:
            assert all(share < cores for share in shares)


class TestAverages:
    @pytest.mark.parametrize(
        ("updates", "whole"), [(20000, True), (20001, True), (9999, False), (10000, True), (0, False)]
    )
    def test_an_average_that_began_anew_counts_once_nothing_of_before_would_be_left(self, updates, whole):
        from comparison.averages import is_whole

        assert is_whole(updates, 0.999, 20000) is whole

    def test_short_trainings_need_all_their_updates(self):
        from comparison.averages import is_whole

        assert is_whole(80, 0.999, 80)
        assert not is_whole(79, 0.999, 80)

    def test_the_trainer_leaves_a_checkpoint_of_each_and_goes_on_with_its_own_weights(self, tmp_path, monkeypatch):
        from comparison.recipe import Recipe
        from comparison.trainers.comparison_trainers import ComparisonTrainer, nnUNetTrainerNoMirroring

        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 1.0)
        saved = {}

        def initialize(trainer):
            trainer.network, trainer.optimizer = network, torch.optim.SGD(network.parameters(), lr=1.0)

        monkeypatch.setattr(nnUNetTrainerNoMirroring, "initialize", initialize)
        monkeypatch.setattr(nnUNetTrainerNoMirroring, "on_train_end", lambda trainer: None)
        trainer = object.__new__(ComparisonTrainer)
        trainer.recipe = Recipe(3, kept_averages=(0.25, 0.5))
        trainer.output_folder = str(tmp_path)
        trainer.save_checkpoint = lambda file: saved.update({Path(file).name: network.weight.item()})
        trainer.initialize()
        for gradient in (1.0, -1.0, -1.0):  # the weight is 0, 1, 2
            network.weight.grad = torch.full((1, 1), gradient)
            trainer.optimizer.step()
        trainer.on_train_end()
        assert saved == {"checkpoint_average_0.25.pth": 1.6875, "checkpoint_average_0.5.pth": 1.25}
        assert network.weight.item() == 2

    def test_an_average_is_a_model_folder_that_is_only_validated(self, workplace):
        from comparison.arms import arm
        from comparison.averages import AveragedTraining

        (training,) = arm("hermes", batches=20)
        averaged = AveragedTraining.of(training, 0.99)
        source = training.fold_folder(workplace)
        (source / "validation").mkdir(parents=True)
        (source / "validation" / "summary.json").write_text("{}")  # is done
        training.recipe.write(training.folder(workplace) / "recipe.json")
        for name in ("plans.json", "dataset.json"):
            (source.parent / name).write_text(name)
        (source / "checkpoint_average_0.99.pth").write_text("average")
        averaged.run(workplace, "cpu")
        own = averaged.fold_folder(workplace)
        assert own != source
        assert (own / "checkpoint_final.pth").read_text() == "average"
        assert [(own.parent / name).read_text() for name in ("plans.json", "dataset.json")] == [
            "plans.json",
            "dataset.json",
        ]
        ((log, command, *arguments),) = workplace.commands_run
        assert (log, command, arguments[-1]) == (averaged.name, "nnUNetv2_train", "--val")

    def test_one_that_an_interruption_cut_is_refused(self, workplace):
        from comparison.arms import arm
        from comparison.averages import AveragedTraining

        from hermes_nnunet.errors import HermesError

        (training,) = arm("hermes", batches=20)
        with pytest.raises(HermesError, match=r"checkpoint_average_0\.99\.pth is missing, as the training was interr"):
            AveragedTraining.of(training, 0.99).run(workplace, "cpu")

    def test_a_training_that_kept_more_is_not_run_again(self):
        from comparison.recipe import Recipe
        from comparison.running import Training

        plain, keeping = Recipe(100), Recipe(100, kept_averages=(0.99, 0.999))
        for arm in ("single", "hermes"):
            assert Training("a", arm, plain).is_run_with(keeping)
            assert not Training("a", arm, keeping).is_run_with(plain)

    def test_the_recipe_keeps_them_when_it_is_read_again(self, tmp_path):
        from comparison.recipe import Recipe

        recipe = Recipe(100, kept_averages=(0.99,))
        recipe.write(tmp_path / "recipe.json")
        assert Recipe.read(tmp_path / "recipe.json") == recipe


class TestMemory:
    def test_is_read_from_the_logs_in_their_order(self, tmp_path):
        from comparison.memory import MEMORY_LINE, memory_of_epochs

        for place, (name, numbers) in enumerate((("b", (1, 2)), ("a", (3,)))):
            file = tmp_path / f"training_log_{name}.txt"
            file.write_text("".join(f"2026: {MEMORY_LINE} {number} MB\nEpoch 3\n" for number in numbers))
            os.utime(file, (place, place))
        assert memory_of_epochs(tmp_path) == [1, 2, 3]

    def test_of_this_process(self):
        from comparison.memory import resident_megabytes

        before = resident_megabytes()
        held = bytearray(64_000_000)
        if not Path("/proc/self/statm").is_file():
            pytest.skip("the system does not tell")
        assert resident_megabytes() - before > 50
        del held


class TestPrecision:
    def test_steps_of_the_training_are_in_the_precision_of_the_recipe(self, monkeypatch):
        from comparison.recipe import Recipe
        from comparison.trainers.comparison_trainers import ComparisonTrainer, nnUNetTrainerNoMirroring

        layer = nn.Linear(2, 2)
        monkeypatch.setattr(nnUNetTrainerNoMirroring, "train_step", lambda *_: {"dtype": layer(torch.ones(1, 2)).dtype})
        trainer = object.__new__(ComparisonTrainer)
        trainer.device = torch.device("cpu")
        for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            trainer.recipe = Recipe(20, precision=precision)
            assert trainer.train_step({}) == {"dtype": dtype}


class TestFigure:
    def test_seeds_are_averaged_and_lengths_in_order(self):
        from comparison.length_figure import lines

        rows = [
            made_row("hermes", 1000, 0.6),
            made_row("hermes", 250, 0.5),
            made_row("hermes", 250, 0.3, seed=1, hd95=30.0),
            made_row("hermes", 250, 0.1, fold=1),
        ]
        drawn = lines(rows)
        assert {line: list(points) for line, points in drawn.items()} == {
            ("hermes", 0): [250, 1000],
            ("hermes", 1): [250],
        }
        assert drawn["hermes", 0][250] == pytest.approx((0.4, 20.0))

    def test_is_drawn(self, tmp_path):
        from comparison.length_figure import draw

        draw([made_row("hermes", 250, 0.5), made_row("singles", 1000, 0.3, fold=1)], tmp_path / "figure.png")
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


class TestCommand:
    def test_a_change_that_an_arm_does_not_have_is_refused(self, tmp_path, capsys):
        import long_training

        arguments = [str(tmp_path), str(tmp_path / "work"), "--changed", "singles", "--changes", "adaptive Dice"]
        with pytest.raises(SystemExit):
            long_training.main(arguments)
        assert "'adaptive Dice' changes what --changed singles does not have" in capsys.readouterr().err
        assert not (tmp_path / "work").exists()

    def test_trains_what_is_missing_and_writes_rows_table_and_figure(self, tmp_path, monkeypatch, capsys):
        import long_training

        asked = []

        class Workplace:
            size_name = "6 mm"

            def __init__(self, folder, commands, size_name):
                assert size_name == "6 mm"

            link_members = prepare_singles = prepare_collection = lambda *_: None

        def row(name, trainings, workplace, conditions):
            asked.append((name, conditions.batches))
            own = made_row(name, conditions.batches, 0.5, trainings[0].fold, conditions.seed)
            return {**own, "recipe": vars(trainings[0].recipe), "size": "6 mm", "modality_accuracy": None}

        monkeypatch.setattr(long_training, "Workplace", Workplace)
        monkeypatch.setattr(long_training, "row", row)
        monkeypatch.setattr(long_training.Training, "run", lambda *_: None)
        monkeypatch.setattr(long_training.Training, "is_done", lambda *_: True)
        arguments = [
            str(tmp_path),
            str(tmp_path / "work"),
            "--results",
            str(tmp_path),
            "--folds",
            "0",
            "--at-once",
            "2",
        ]
        long_training.main([*arguments, "--batches", "250", "--arms", "hermes", "singles"])
        assert sorted(asked) == [("hermes", 250), ("singles", 250)]
        long_training.main([*arguments, "--batches", "250", "1000", "--arms", "hermes"])
        assert asked[2:] == [("hermes", 1000)]
        rows = json.loads((tmp_path / "long_training.json").read_text())["rows"]
        assert [(own["batches_per_member"], own["arm"]) for own in rows] == [
            (250, "hermes"),
            (250, "singles"),
            (1000, "hermes"),
        ]
        assert (tmp_path / "long_training.png").is_file()
        assert "hermes" in capsys.readouterr().out


class TestLogger:
    def test_draws_the_curves_once_all_epochs_are_there(self, tmp_path, monkeypatch):
        from comparison.recipe import EPOCHS
        from comparison.trainers.comparison_trainers import LoggerOfLastEpoch, MetaLogger

        drawn = []
        logger = LoggerOfLastEpoch(str(tmp_path), False)
        monkeypatch.setattr(
            MetaLogger, "plot_progress_png", lambda own, folder: drawn.append(len(own.get_value("train_losses", None)))
        )
        for epoch in range(EPOCHS):
            logger.log("train_losses", 0.5, epoch)
            logger.plot_progress_png(str(tmp_path))
        assert drawn == [EPOCHS]
