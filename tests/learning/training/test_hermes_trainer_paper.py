import math
import os
import random
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from hermes_nnunet.learning.loss.hermes_loss import adaptive_dice_loss
from hermes_nnunet.learning.training.continuation import Continuation
from hermes_nnunet.learning.training.learning_curves import LearningCurves

BASE = "nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer.HermesTrainer"


def seed(number):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def fold_of(trainer):
    return Path(trainer.output_folder)


def load(path):
    return torch.load(path, weights_only=False)


def equal(first, second):
    """Whether two structures of containers, arrays and numbers agree in every bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second, equal_nan=True)
    return first == second or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


def without_times(checkpoint):
    """A checkpoint's entries but for those that differ in any two runs."""
    logging = {key: value for key, value in checkpoint["logging"].items() if not key.endswith("timestamps")}
    return {**{key: value for key, value in checkpoint.items() if key != "init_args"}, "logging": logging}


@pytest.fixture(autouse=True)
def one_thread():
    """So small a network is slower with several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make(make_trainer):
    """A function that makes a HermesTrainerPaper with few iterations."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_paper import HermesTrainerPaper

    return lambda **options: make_trainer(trainer_class=HermesTrainerPaper, **options)


def log_of(trainer):
    return Path(trainer.log_file).read_text()


class TestSettings:
    def test_length_is_the_papers(self, preprocessed, plans, dataset_json):
        from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_paper import HermesTrainerPaper

        options = {**plans, "continue_training": False}
        trainer = HermesTrainerPaper(options, "3d_fullres", 0, dataset_json, torch.device("cpu"))
        assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (
            200,
            400,
            50,
        )

    @pytest.mark.parametrize(
        ("network", "weight_decay", "warm_up_epochs"),
        [
            ("hermes_resunet.HermesResUNet", 1e-5, 5),
            ("hermes_medformer.HermesMedFormer", 0.05, 0),
            ("hermes_unet.HermesUNet", 1e-5, 5),
        ],
    )
    def test_weight_decay_and_warm_up_go_by_the_network(self, make, plans, network, weight_decay, warm_up_epochs):
        architecture = plans["configurations"]["3d_fullres"]["architecture"]
        architecture["network_class_name"] = f"hermes_nnunet.networks.{network}"
        trainer = make()
        assert (trainer.weight_decay, trainer.warm_up_epochs) == (weight_decay, warm_up_epochs)

    def test_optimizer_is_lamb_with_the_papers_settings_and_is_logged_once(self, make):
        trainer = make()
        trainer.initialize()
        (group,) = trainer.optimizer.param_groups
        assert {name: group[name] for name in ("lr", "betas", "eps", "weight_decay", "max_grad_norm")} == {
            "lr": 2e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-5,
            "weight_decay": 1e-5,
            "max_grad_norm": 1,
        }
        assert (
            log_of(trainer).count("LAMB: timm's; FusedLAMB of NVIDIA's apex does not work here (no CUDA device)") == 1
        )

    def test_loss_is_the_papers(self, make):
        trainer = make()
        trainer.initialize()
        trainer.current_epoch = 3
        trainer.on_train_epoch_start()
        assert (trainer.loss.cross_entropy_weight, trainer.loss.dice_exponent, trainer.loss.absent_weight) == (1, 1, 0)
        assert trainer.loss.dice_loss is adaptive_dice_loss
        assert trainer.loss.cases_per_mean == 2

    def test_a_case_is_run_with_its_own_tasks_only(self, make, dataset_json):
        everything = ["abdomen/liver", "abdomen/spleen"]
        dataset_json["hermes"] |= {"absent": {"brain": everything}, "excludes": {"brain/core": everything}}
        trainer = make()
        trainer.initialize()
        assert trainer.extra.rows == 0

    def test_as_many_patches_must_show_a_task_as_in_nnunet(self, make, plans):
        plans["configurations"]["3d_fullres"]["batch_size"] = 4
        trainer = make()
        trainer.initialize()
        for loader in trainer.get_dataloaders():
            assert [loader.data_loader.get_do_oversample(patch) for patch in range(4)] == [False, False, False, True]

    def test_epochs_begin_with_the_schedules_rate(self, make):
        trainer = make(epochs=200)
        trainer.initialize()
        trainer.current_epoch = 4
        trainer.on_train_epoch_start()
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(2e-3 * math.exp(-2))

    def test_bfloat16_is_used_in_both_steps(self, make, monkeypatch):
        seen = []
        for step in ("train_step", "validation_step"):
            monkeypatch.setattr(f"{BASE}.{step}", lambda *_: seen.append(torch.get_autocast_dtype("cuda")))
        trainer = make()
        for trainer.bfloat16, trainer.device in ((False, torch.device("cpu")), (True, torch.device("cuda"))):
            trainer.train_step({})
            trainer.validation_step({})
        assert seen == [torch.float16] * 2 + [torch.bfloat16] * 2


class TestData:
    def test_batches_are_label_maps_without_mirroring(self, make):
        trainer = make()
        trainer.initialize()
        train, _ = trainer.get_dataloaders()
        batch = next(train)
        assert [tuple(target.shape) for target in batch["target"]] == [(2, 1, 16, 16, 16)]
        assert set(batch["target"][0].unique().tolist()) <= {0, 1, 2, 3, 4}
        of_kind = train.data_loader.transforms.of_kind
        assert set(of_kind) == {0.1, 0.2}
        assert "Mirror" not in str([transforms.transforms for transforms in of_kind.values()])

    def test_each_patch_has_the_transforms_of_its_own_case(self, make, plans):
        trainer = make()
        trainer.initialize()
        train, _ = trainer.get_dataloaders()
        used = []

        class Recorded:
            def __init__(self, probability, transforms):
                self.probability, self.transforms = probability, transforms

            def __call__(self, **patch):
                used.append(self.probability)
                return self.transforms(**patch)

        augmentation = train.data_loader.transforms
        augmentation.of_kind = {kind: Recorded(kind, own) for kind, own in augmentation.of_kind.items()}
        cases = [case for _ in range(6) for case in next(train)["keys"]]
        expected = [0.2 if case.startswith("brain") else 0.1 for case in cases]
        assert used[: len(cases)] == expected
        assert set(expected) == {0.1, 0.2}

    def test_other_members_are_drawn_by_the_collections_weights(self, make):
        trainer = make()
        trainer.initialize()
        train, _ = trainer.get_tr_and_val_datasets()
        drawn = [case.split("__")[0] for case in train.identifiers]
        assert drawn.count("abdomen") / len(drawn) == pytest.approx(0.75, abs=0.01)
        assert "sampling weights: the collection's, as not all members are the paper's" in log_of(trainer)

    def test_the_papers_members_are_drawn_by_its_weights_of_a_case(self, make, dataset_json):
        block = dataset_json["hermes"]
        names = {"abdomen": "bcv", "brain": "structseg_oar"}
        block["members"] = {names[name]: {**member, "name": names[name]} for name, member in block["members"].items()}
        for case in block["cases"].values():
            case["member"] = names[case["member"]]
        trainer = make()
        trainer.initialize()
        train, _ = trainer.get_tr_and_val_datasets()  # two cases of bcv (1.5), one of structseg_oar (0.7)
        drawn = [case.split("__")[0] for case in train.identifiers]
        assert drawn.count("brain") / len(drawn) == pytest.approx(0.7 / 3.7, abs=0.01)
        assert "sampling weights: the paper's" in log_of(trainer)


class TestAverage:
    def batch(self):
        return {
            "data": torch.randn(2, 1, 16, 16, 16),
            "target": [torch.randint(0, 5, (2, 1, 16, 16, 16), dtype=torch.int16)],
            "keys": np.array(["brain__x", "abdomen__b"]),
        }

    def parameters(self, trainer):
        return [parameter.detach().clone() for parameter in trainer.network.parameters()]

    def test_takes_in_each_step(self, make):
        trainer = make()
        trainer.initialize()
        trainer.train_step(self.batch())
        first = self.parameters(trainer)
        trainer.train_step(self.batch())
        second = self.parameters(trainer)
        trainer.average.exchange()
        for average, one, two in zip(trainer.network.parameters(), first, second, strict=True):
            assert torch.allclose(average, (one + two) / 2, atol=1e-6)

    def test_a_step_that_the_scaler_leaves_out_is_not_taken_in(self, make):
        trainer = make()
        trainer.initialize()
        trainer.grad_scaler = torch.amp.GradScaler("cpu")
        next(trainer.network.parameters()).register_hook(lambda gradient: gradient * math.inf)
        before = self.parameters(trainer)
        trainer.train_step(self.batch())
        assert trainer.average.updates == 0
        assert equal(before, self.parameters(trainer))

    def test_validation_epochs_use_it_and_training_goes_on_without(self, make, monkeypatch):
        monkeypatch.setattr(f"{BASE}.on_validation_epoch_end", lambda *_: None)
        trainer = make()
        trainer.initialize()
        for _ in range(2):
            trainer.train_step(self.batch())
        trained = self.parameters(trainer)
        trainer.on_validation_epoch_start()
        assert not equal(trained, self.parameters(trainer))
        trainer.on_validation_epoch_end([])
        assert equal(trained, self.parameters(trainer))

    def test_checkpoints_hold_it_as_the_networks_weights_and_the_trained_ones_beside(self, make):
        trainer = make()
        trainer.initialize()
        for _ in range(2):
            trainer.train_step(self.batch())
        path = fold_of(trainer) / "checkpoint_latest.pth"
        trainer.save_checkpoint(str(path))
        continuation = Continuation.read(path)
        assert equal(dict(trainer.network.state_dict()), dict(continuation.training_weights))
        assert continuation.averaged_updates == 2
        trainer.average.exchange()
        assert equal(dict(trainer.network.state_dict()), dict(load(path)["network_weights"]))

    def test_val_runs_with_it(self, make):
        trainer = make()
        trainer.initialize()
        for _ in range(2):
            trainer.train_step(self.batch())
        path = fold_of(trainer) / "checkpoint_final.pth"
        trainer.save_checkpoint(str(path))
        other = make()
        maybe_load_checkpoint(other, continue_training=False, validation_only=True)
        assert equal(dict(other.network.state_dict()), dict(load(path)["network_weights"]))

    def test_weights_without_a_continuation_are_trained_on(self, make):
        trainer = make()
        trainer.initialize()
        path = fold_of(trainer) / "checkpoint_latest.pth"
        trainer.save_checkpoint(str(path))
        content = load(path)
        del content["hermes_continuation"]
        torch.save(content, path)
        other = make(continue_training=True)
        maybe_load_checkpoint(other, continue_training=True, validation_only=False)
        other.on_train_start()
        other.train_step(self.batch())
        assert other.average.updates == 1
        assert equal(dict(other.network.state_dict()), other.average.state_aside())


class KilledError(Exception):
    """What ends a training in the middle."""


class TestContinuing:
    EPOCHS = 3

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """No picture of the progress, which takes longer than an epoch."""
        monkeypatch.setattr("nnunetv2.training.logging.nnunet_logger.MetaLogger.plot_progress_png", lambda *_: None)

    @pytest.fixture
    def trainer(self, make):
        """A function that makes a trainer whose weights move from the first epoch on."""

        def new(**options):
            made = make(epochs=self.EPOCHS, **options)
            made.warm_up_epochs = 1
            return made

        return new

    @pytest.fixture
    def uninterrupted(self, trainer):
        """What the checkpoints of an uninterrupted training held, by file, and what its network was at the end."""
        seed(1)
        whole = trainer()
        whole.run_training()
        files = [fold_of(whole) / f"checkpoint_{name}.pth" for name in ("final", "best")]
        expected = {file: without_times(load(file)) for file in files}
        for file in files:
            file.unlink()
        return expected, dict(whole.network.state_dict())

    @staticmethod
    def run_until(trainer, monkeypatch, step, number, act, ending):
        """Train until `act` is called in a step of this number, of all training or validation steps."""
        steps = 0

        def counted(self, batch):
            nonlocal steps
            steps += 1
            if steps == number:
                act()
            return original(self, batch)

        original = getattr(type(trainer), step)
        with monkeypatch.context() as patch:
            patch.setattr(type(trainer), step, counted)
            with pytest.raises(ending) as end:
                trainer.run_training()
        return end.value

    @staticmethod
    def finish(trainer, epoch, steps):
        """Continue as --c does; the checkpoint is that of so many steps of an epoch."""
        seed(2)
        resumed = trainer(continue_training=True)
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        assert (resumed.current_epoch, len(resumed.interrupted.outputs_of(0, 1))) == (epoch, steps)
        resumed.run_training()
        return resumed

    @staticmethod
    def check(resumed, uninterrupted):
        expected, network = uninterrupted
        for file, content in expected.items():
            found = without_times(load(file))
            assert [key for key in found if not equal(found[key], content[key])] == []
        assert equal(dict(resumed.network.state_dict()), network)
        final = load(fold_of(resumed) / "checkpoint_final.pth")
        trained = final["hermes_continuation"]
        assert equal(network, dict(final["network_weights"]))
        assert not equal(network, dict(trained["training_weights"]))
        assert trained["averaged_updates"] == 2 * TestContinuing.EPOCHS
        epochs = LearningCurves.read(fold_of(resumed) / "learning_curves.json").epochs
        assert [entry.epoch for entry in epochs] == list(range(TestContinuing.EPOCHS))

    def test_killed_and_resumed_equals_uninterrupted_in_every_bit(self, trainer, uninterrupted, monkeypatch):
        def die():
            raise KilledError

        seed(1)
        self.run_until(trainer(), monkeypatch, "train_step", 4, die, KilledError)
        self.check(self.finish(trainer, epoch=1, steps=0), uninterrupted)

    @pytest.mark.parametrize(
        ("step", "number", "epoch", "steps"),
        [
            ("train_step", 1, 0, 1),
            ("train_step", 3, 1, 1),
            ("train_step", 4, 1, 2),
            ("validation_step", 3, 1, 2),  # the first of two in the second epoch
            ("validation_step", 4, 2, 0),
        ],
    )
    def test_sigterm_loses_no_step(self, trainer, uninterrupted, monkeypatch, step, number, epoch, steps):
        seed(1)
        interrupted = trainer()
        terminate = partial(os.kill, os.getpid(), signal.SIGTERM)
        end = self.run_until(interrupted, monkeypatch, step, number, terminate, SystemExit)
        assert end.code == 143
        log = log_of(interrupted)
        assert log.count("SIGTERM") == 1
        assert f"checkpoint_latest.pth holds epoch {epoch}, step {steps} of 2: continue with --c" in log
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        self.check(self.finish(trainer, epoch, steps), uninterrupted)

    def test_interrupted_in_a_resumed_epoch_counts_all_its_steps(self, trainer, uninterrupted, monkeypatch):
        terminate = partial(os.kill, os.getpid(), signal.SIGUSR1)
        seed(1)
        assert self.run_until(trainer(), monkeypatch, "train_step", 3, terminate, SystemExit).code == 138
        second = trainer(continue_training=True)
        maybe_load_checkpoint(second, continue_training=True, validation_only=False)
        self.run_until(second, monkeypatch, "train_step", 1, terminate, SystemExit)
        self.check(self.finish(trainer, epoch=1, steps=2), uninterrupted)

    def test_a_kill_loses_the_minutes_since_the_last_checkpoint(self, trainer, uninterrupted, monkeypatch):
        def die():
            raise KilledError

        monkeypatch.setenv("HERMES_SAVE_MINUTES", "1e-6")
        seed(1)
        self.run_until(trainer(), monkeypatch, "train_step", 4, die, KilledError)
        self.check(self.finish(trainer, epoch=1, steps=1), uninterrupted)

    def test_no_checkpoint_is_written_before_its_time(self, trainer, monkeypatch):
        saved = []
        new = trainer()
        save = new.save_checkpoint
        monkeypatch.setattr(new, "save_checkpoint", lambda name: saved.append(Path(name).name) or save(name))
        new.run_training()
        assert saved.count("checkpoint_latest.pth") == self.EPOCHS - 1

    def test_another_seed_gives_other_weights(self, make):
        """Else the test above could not fail."""
        weights = []
        for number in (1, 2):
            seed(1)
            trainer = make(epochs=1)
            trainer.warm_up_epochs = 0
            trainer.initialize()
            seed(number)
            trainer.run_training()
            (fold_of(trainer) / "checkpoint_final.pth").unlink()
            (fold_of(trainer) / "checkpoint_best.pth").unlink()
            weights.append(dict(trainer.network.state_dict()))
        assert not equal(*weights)


def test_stock_prediction_loads_the_average(make):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer = make(epochs=1)
    trainer.warm_up_epochs = 0
    trainer.run_training()
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,))
    predicting = dict(predictor.network.state_dict())
    assert equal(predicting, dict(trainer.network.state_dict()))  # what the final validation uses
    assert not equal(predicting, trainer.average.state_aside())
