import json
import subprocess
import sys

import pytest

from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.training.fold_folder import check_beginning, locked, remove_checkpoints

HOLD = """
import sys, time
from pathlib import Path
from hermes_nnunet.learning.training.fold_folder import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def fold(tmp_path, monkeypatch):
    monkeypatch.delenv("HERMES_OVERWRITE", raising=False)
    folder = tmp_path / "fold_0"
    folder.mkdir()
    return folder


class TestBeginning:
    @pytest.mark.parametrize("asked_to_continue", [False, True])
    def test_in_an_empty_folder_is_free(self, fold, asked_to_continue):
        check_beginning(fold, asked_to_continue=asked_to_continue)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("checkpoint_final.pth", "finished training: validate it with --val, or set HERMES_OVERWRITE=1"),
            ("checkpoint_latest.pth", "unfinished training: continue it with --c, or set HERMES_OVERWRITE=1"),
            ("checkpoint_best.pth", "unfinished training: continue it with --c"),
        ],
    )
    def test_over_a_checkpoint_is_refused(self, fold, name, message):
        (fold / name).touch()
        with pytest.raises(TrainingEndedError, match=rf"fold_0/{name} is that of .*{message}"):
            check_beginning(fold, asked_to_continue=False)

    def test_with_c_and_curves_without_a_checkpoint_is_refused(self, fold):
        (fold / "learning_curves.json").touch()
        check_beginning(fold, asked_to_continue=False)
        with pytest.raises(TrainingEndedError, match=r"learning_curves\.json .* no checkpoint that --c could continue"):
            check_beginning(fold, asked_to_continue=True)

    @pytest.mark.parametrize(("value", "refused"), [("1", False), ("0", True), ("", True)])
    def test_the_variable_lets_it_through(self, fold, monkeypatch, value, refused):
        monkeypatch.setenv("HERMES_OVERWRITE", value)
        (fold / "checkpoint_final.pth").touch()
        if refused:
            with pytest.raises(TrainingEndedError):
                check_beginning(fold, asked_to_continue=False)
        else:
            check_beginning(fold, asked_to_continue=False)

    def test_leaves_no_checkpoint_that_a_later_c_could_take(self, fold):
        for name in ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth", "progress.png"):
            (fold / name).touch()
        remove_checkpoints(fold)
        assert [path.name for path in fold.iterdir()] == ["progress.png"]


class TestLock:
    @pytest.fixture
    def holder(self, fold):
        """A process that trains in the fold."""
        process = subprocess.Popen([sys.executable, "-c", HOLD, fold], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()
        process.wait()

    def test_keeps_others_out_until_the_holder_is_killed(self, fold, holder):
        with pytest.raises(TrainingEndedError, match=rf"fold_0 is in use .*process {holder.pid} on "), locked(fold):
            pytest.fail("it is locked")
        holder.kill()
        holder.wait()
        with locked(fold):
            assert json.loads((fold / ".hermes_training.json").read_text())["process"] != holder.pid

    def test_ends_with_the_block(self, fold):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), locked(fold):
                raise ZeroDivisionError
        assert not (fold / ".hermes_training.json").exists()

    def test_a_file_system_without_locks_is_no_obstacle(self, fold, monkeypatch):
        def refuse(*_, **__):
            raise OSError("no locks available")

        monkeypatch.setattr("filelock.FileLock.acquire", refuse)
        with pytest.raises(ZeroDivisionError), locked(fold):
            raise ZeroDivisionError  # the block was entered
