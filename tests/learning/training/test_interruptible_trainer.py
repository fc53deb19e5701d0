import errno
import gzip
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from hermes_nnunet.errors import HermesError, TrainingEndedError
from hermes_nnunet.learning.training.fold_folder import locked
from hermes_nnunet.planning.preprocessing.finished import Preprocessed, digests_of_merge


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No picture of the progress, which takes longer than an epoch."""
    monkeypatch.setattr("nnunetv2.training.logging.nnunet_logger.MetaLogger.plot_progress_png", lambda *_: None)


def fold_of(trainer):
    return Path(trainer.output_folder)


def trained(make_trainer):
    trainer = make_trainer(epochs=1)
    trainer.run_training()
    return trainer


class TestBeginning:
    def test_over_a_finished_training_is_refused_before_the_first_epoch(self, make_trainer):
        final = fold_of(trained(make_trainer)) / "checkpoint_final.pth"
        before = final.read_bytes(), (final.parent / "learning_curves.json").read_bytes()
        for log in final.parent.glob("training_log_*"):
            log.unlink()  # it is called by the second, and a training takes less
        second = make_trainer()
        with pytest.raises(TrainingEndedError, match=r"checkpoint_final\.pth is that of a finished training"):
            second.run_training()
        assert (final.read_bytes(), (final.parent / "learning_curves.json").read_bytes()) == before
        assert "Epoch 0" not in Path(second.log_file).read_text()

    def test_over_a_finished_training_leaves_nothing_of_it_to_continue(self, make_trainer, monkeypatch):
        """Else --c would take the old final checkpoint for the new training's."""
        fold = fold_of(trained(make_trainer))
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        second = make_trainer()
        second.on_train_start()
        assert not list(fold.glob("*.pth"))

    def test_with_c_over_curves_alone_is_refused(self, make_trainer):
        fold = fold_of(trained(make_trainer))
        for checkpoint in fold.glob("*.pth"):
            checkpoint.unlink()
        second = make_trainer(continue_training=True)
        maybe_load_checkpoint(second, continue_training=True, validation_only=False)
        with pytest.raises(TrainingEndedError, match="no checkpoint that --c could continue"):
            second.run_training()

    def test_a_finished_training_is_continued_to_its_validation(self, make_trainer):
        fold = fold_of(trained(make_trainer))
        second = make_trainer(epochs=1, continue_training=True)
        maybe_load_checkpoint(second, continue_training=True, validation_only=False)
        second.run_training()
        assert (fold / "checkpoint_final.pth").is_file()

    def test_in_a_fold_that_is_trained_is_refused(self, make_trainer):
        trainer = make_trainer()
        trainer.initialize()
        with locked(fold_of(trainer)):
            for action in (trainer.run_training, trainer.perform_actual_validation):
                with pytest.raises(TrainingEndedError, match=f"in use by another .*process {os.getpid()} on "):
                    action()
        assert not list(fold_of(trainer).glob("*.pth"))


class TestOtherTasks:
    """Collections are merged and planned again, and then have tasks in another order."""

    @pytest.fixture
    def swapped(self, make_trainer, plans, dataset_json):
        """The folder of a model whose fold was trained before that."""
        fold = fold_of(trained(make_trainer))
        plans["hermes"]["tasks"] = [*reversed(plans["hermes"]["tasks"][:2]), *plans["hermes"]["tasks"][2:]]
        tasks = dataset_json["hermes"]["tasks"]
        tasks[:2] = tasks[1], tasks[0]
        return fold

    def test_are_not_what_an_older_training_is_continued_for(self, swapped, make_trainer):
        second = make_trainer(continue_training=True)
        with pytest.raises(TrainingEndedError, match=r"checkpoint_final\.pth was trained for other tasks than"):
            maybe_load_checkpoint(second, continue_training=True, validation_only=False)

    def test_get_no_fold_beside_older_ones(self, swapped, make_trainer):
        before = (swapped.parent / "plans.json").read_bytes()
        with pytest.raises(TrainingEndedError, match=r"fold_0/checkpoint_final\.pth was trained for other tasks"):
            make_trainer(fold=1).run_training()
        assert (swapped.parent / "plans.json").read_bytes() == before


class TestBestCheckpoint:
    """nnU-Net writes the latest checkpoint of an epoch, then the best."""

    @pytest.fixture
    def stopped(self, make_trainer, monkeypatch):
        """The fold of a training that ended between the two."""
        trainer = make_trainer()
        save = trainer.save_checkpoint

        def stop(filename):
            if filename.endswith("best.pth"):
                raise LookupError
            save(filename)

        monkeypatch.setattr(trainer, "save_checkpoint", stop)
        with pytest.raises(LookupError):
            trainer.run_training()
        return fold_of(trainer)

    @staticmethod
    def continued(make_trainer):
        trainer = make_trainer(continue_training=True)
        maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
        trainer.on_train_start()

    def test_that_is_missing_is_that_of_the_epoch(self, stopped, make_trainer):
        assert not (stopped / "checkpoint_best.pth").exists()
        self.continued(make_trainer)
        latest, best = (stopped / f"checkpoint_{name}.pth" for name in ("latest", "best"))
        assert best.read_bytes() == latest.read_bytes()

    @pytest.mark.parametrize(("dice", "stays"), [(-1.0, False), (2.0, True)])
    def test_of_another_epoch_stays_where_it_is_better(self, stopped, make_trainer, dice, stays):
        best = stopped / "checkpoint_best.pth"
        torch.save({"_best_ema": dice}, best)
        before = best.read_bytes()
        self.continued(make_trainer)
        assert (best.read_bytes() == before) == stays


class TestPreprocessedCases:
    def test_of_other_label_values_are_refused(self, make_trainer, preprocessed, plans):
        trainer = make_trainer()
        folder = Path(trainer.preprocessed_dataset_folder)
        asked = Preprocessed.of_plans(trainer.plans_manager, trainer.configuration_manager, trainer.dataset_json)
        replace(asked, tasks={**asked.tasks, "brain/core": [9]}).write(folder)
        with pytest.raises(TrainingEndedError, match=r"3d_fullres was preprocessed for other tasks or label values"):
            trainer.initialize()
        asked.write(folder)
        trainer.initialize()

    @pytest.fixture
    def merge(self, tmp_path):
        """A function that writes the record of a merge whose cases come from files of this time."""
        raw = tmp_path / "raw" / "Dataset900_Both"
        raw.mkdir()

        def write(time):
            cases = {"abdomen__a": [["a_0000.nii.gz", 5, 1], ["a.nii.gz", 5, time]]}
            content = {"format_version": 1, "specification": {"members": []}, "values": {}, "cases": cases}
            (raw / "hermes_merge.json").write_text(json.dumps(content))
            return raw

        return write

    @pytest.fixture
    def merged_again(self, make_trainer, merge):
        """A function that makes a trainer, of a collection that was merged again after it was preprocessed."""
        trainer = make_trainer()
        asked = Preprocessed.of_plans(trainer.plans_manager, trainer.configuration_manager, trainer.dataset_json)
        folder = Path(trainer.preprocessed_dataset_folder)
        replace(asked, merged=digests_of_merge(merge(1))).write(folder)
        trained(make_trainer)
        merge(2)
        return make_trainer

    def test_of_an_earlier_merge_are_refused(self, merged_again, monkeypatch):
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        with pytest.raises(TrainingEndedError, match=r"again after .*, cases: 1 changed \(abdomen__a\): run 'nnU"):
            merged_again().run_training()

    def test_of_an_earlier_merge_are_trained_on_where_there_is_no_raw_data(self, merged_again, monkeypatch):
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        monkeypatch.delenv("nnUNet_raw")
        trained(merged_again)

    def test_of_an_earlier_merge_are_told_by_a_training_that_is_continued(self, merged_again):
        trainer = merged_again(continue_training=True)
        maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
        trainer.run_training()
        assert trainer.current_epoch == 2
        assert "WARNING: Dataset900_Both was merged again after" in Path(trainer.log_file).read_text()

    def test_that_are_missing_are_named(self, make_trainer):
        trainer = make_trainer()
        (Path(trainer.preprocessed_dataset_folder) / "abdomen__b.b2nd").unlink()
        with pytest.raises(TrainingEndedError, match=r"lacks 1 of 5 cases of this fold \(abdomen__b\)"):
            trainer.run_training()
        assert not list(fold_of(trainer).glob("*.pth"))


class TestShortages:
    def test_a_full_disk_is_one_line_that_names_the_checkpoint(self, make_trainer, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(torch, "save", full)
        with pytest.raises(TrainingEndedError, match=r"checkpoint_latest\.pth cannot be written, .* disk is full"):
            make_trainer().run_training()


class TestTrainerInANotebook:
    """Python goes on after the end of a training or validation."""

    def test_that_was_interrupted_within_an_epoch_is_not_trained_further(self, make_trainer, monkeypatch):
        trainer = make_trainer()
        train_step = trainer.train_step

        def step(batch):
            os.kill(os.getpid(), signal.SIGINT)
            return train_step(batch)

        monkeypatch.setattr(trainer, "train_step", step)
        for action, line in (
            (trainer.run_training, "130"),
            (trainer.run_training, "make a new one, and let it load checkpoint_latest.pth"),
        ):
            with pytest.raises(SystemExit, match=line):
                action()
        second = make_trainer(continue_training=True)
        maybe_load_checkpoint(second, continue_training=True, validation_only=False)
        second.run_training()
        assert second.current_epoch == 2

    def test_that_was_refused_can_begin(self, make_trainer, monkeypatch):
        trained(make_trainer)
        second = make_trainer(epochs=1)
        with pytest.raises(TrainingEndedError):
            second.run_training()
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        second.run_training()
        assert second.current_epoch == 1


class TestWorkers:
    @pytest.fixture(autouse=True)
    def one_worker(self, preprocessed, monkeypatch):
        monkeypatch.setenv("nnUNet_n_proc_DA", "1")

    def test_one_that_is_killed_ends_the_training_with_a_checkpoint(self, make_trainer, monkeypatch, capfd):
        trainer = make_trainer(epochs=50)
        train_step, killed = trainer.train_step, []

        def step(batch):
            if not killed:
                killed.append(min(multiprocessing.active_children(), key=lambda process: process.pid))
                killed[0].kill()
            return train_step(batch)

        monkeypatch.setattr(trainer, "train_step", step)
        with pytest.raises(TrainingEndedError) as error:
            trainer.run_training()
        line = str(error.value)
        assert f"an augmentation process has died: {killed[0].name} (pid {killed[0].pid}) was ended by Killed" in line
        assert "GiB of memory" in line
        assert "set nnUNet_n_proc_DA below 1" in line
        assert "step" in line.split("checkpoint_latest.pth holds epoch")[1]
        assert "continue with --c" in line
        assert "\n" not in line
        assert multiprocessing.active_children() == []
        assert "Traceback" not in capfd.readouterr().err
        second = make_trainer(continue_training=True)
        maybe_load_checkpoint(second, continue_training=True, validation_only=False)
        assert second.current_epoch * 2 + len(second.interrupted.outputs_of(0, 1)) > 0

    def test_one_that_fails_at_the_start_is_told(self, make_trainer, preprocessed, capfd):
        for file in preprocessed.glob("*_3d_fullres/*.b2nd"):
            file.write_bytes(b"no image")
        with pytest.raises(HermesError, match="an augmentation process has died: it failed with the error above; "):
            make_trainer().run_training()
        assert "Exception in background worker 0" in capfd.readouterr().out

    def test_none_is_left(self, make_trainer):
        trained(make_trainer)
        assert multiprocessing.active_children() == []


def test_a_final_validation_with_other_weights_takes_no_case(make_trainer):
    trainer = make_trainer()
    trainer.initialize()
    trainer._begin_validation(save_probabilities=False)
    written = fold_of(trainer) / "validation" / "abdomen__c.nii.gz"
    written.write_bytes(gzip.compress(b"segmentation"))
    trainer._begin_validation(save_probabilities=False)
    assert trainer._validated == {"abdomen__c"}
    trainer._validated = frozenset()  # as after a validation
    with torch.no_grad():
        next(trainer.network.parameters()).add_(1)
    trainer._begin_validation(save_probabilities=False)
    assert trainer._validated == frozenset()
    assert not written.exists()


@pytest.mark.slow
class TestFinalValidation:
    CASES = ("abdomen__c", "brain__y")

    @pytest.fixture
    def trainer(self, make_trainer):
        return trained(make_trainer)

    @staticmethod
    def contents(trainer):
        folder = fold_of(trainer) / "validation"
        return {
            path.name: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            for path in folder.iterdir()
            if path.suffix != ".npz"
        }, {path.name: np.load(path)["probabilities"] for path in folder.glob("*.npz")}

    @staticmethod
    def at_second_case(trainer, act, wait=True):
        """Let the final validation act before its second case, once the first is written."""
        tell, seen = trainer._tell_context_in_pool_order, []

        def told(case):
            seen.append(case)
            if len(seen) == 2:
                written = fold_of(trainer) / "validation" / f"{seen[0]}.nii.gz"
                while wait and not written.is_file():
                    time.sleep(0.05)
                act()
            tell(case)

        trainer._tell_context_in_pool_order = told
        return seen

    def test_goes_on_where_a_signal_ended_it_and_equals_an_uninterrupted_one(self, trainer, capfd):
        trainer.perform_actual_validation(save_probabilities=True)
        files, probabilities = self.contents(trainer)
        assert set(probabilities) == {f"{case}.npz" for case in self.CASES}
        seen = self.at_second_case(trainer, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as end:
            trainer.perform_actual_validation(save_probabilities=True)
        assert end.value.code == 143
        assert tuple(seen) == self.CASES
        assert multiprocessing.active_children() == []
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert "final validation ended by SIGTERM; --val goes on with the cases that are left" in printed.out

        trainer.perform_actual_validation(save_probabilities=True)
        assert seen[2:] == ["brain__y"]
        assert "1 of 2 cases are there from an interrupted one" in capfd.readouterr().out
        found, found_probabilities = self.contents(trainer)
        assert found == files
        for name, expected in probabilities.items():
            assert np.array_equal(found_probabilities[name], expected)
        assert len(json.loads(found["summary.json"])["metric_per_case"]) == 2

    def test_a_writer_that_is_killed_ends_it_with_one_line(self, trainer):
        def kill_writer():
            writers = multiprocessing.active_children()
            while not {process.pid for process in writers} <= trainer._workers._seen.keys():
                time.sleep(0.01)  # one that dies as it starts is replaced by its pool before anybody has seen it
            for process in writers:
                process.kill()
            time.sleep(30)

        self.at_second_case(trainer, kill_writer, wait=False)
        with pytest.raises(TrainingEndedError) as error:
            trainer.perform_actual_validation()
        line = str(error.value)
        assert "a process that writes segmentations of the final validation has died: SpawnPoolWorker" in line
        assert "(signal 9)" in line
        assert "nnUNet_def_n_proc" in line
        assert "--val goes on with the cases that are left" in line
