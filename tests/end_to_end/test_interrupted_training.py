"""Signals that end a training by nnU-Net's own command, sent as terminals and job managers do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.end_to_end
TRAINER = "HermesTrainerLong"
SOURCE = """
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer


class HermesTrainerLong(HermesTrainer):
    epochs = 10
    iterations_per_epoch = 10000
    validation_iterations_per_epoch = 1
"""
PATIENCE_S = 300


@pytest.fixture
def command(planned):
    """A training whose first epoch takes an hour, with a process that augments."""
    (planned.root / "trainers" / "hermes_trainer_long.py").write_text(SOURCE)
    return [
        *(Path(sys.executable).parent / "nnUNetv2_train", planned.collection, "3d_fullres", 0),
        *("-tr", TRAINER, "-p", planned.plans, "-device", "cpu"),
    ]


@pytest.fixture
def end_by(planned, command, tmp_path):
    """A function that starts a training and sends it a signal when a checkpoint is there: exit code and output."""
    fold = planned.model(planned.collection, TRAINER) / "fold_0"
    environment = {**planned.environment, "nnUNet_n_proc_DA": "1", "HERMES_SAVE_MINUTES": "0.001"}

    def end(send, number, *options):
        before = time.time()
        output = tmp_path / f"{number}.txt"
        with open(output, "w") as file:
            process = subprocess.Popen(
                list(map(str, [*command, *options])),
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        latest = fold / "checkpoint_latest.pth"
        deadline = time.monotonic() + PATIENCE_S
        while not (latest.is_file() and latest.stat().st_mtime > before):
            assert process.poll() is None, output.read_text()[-3000:]
            assert time.monotonic() < deadline, output.read_text()[-3000:]
            time.sleep(0.05)
        send(process.pid, number)
        code = process.wait(PATIENCE_S)
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # no process of it is left
        return code, output.read_text(), torch.load(latest, weights_only=False)["hermes_continuation"]["step_outputs"]

    return end


def test_a_training_ends_with_one_line_and_a_code_and_goes_on_where_it_was(planned, command, end_by):
    code, printed, (first,) = end_by(os.killpg, signal.SIGINT)  # Ctrl-C reaches all processes
    assert code == 130
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].strip().endswith("continue with --c")
    assert f"ended by SIGINT; checkpoint_latest.pth holds epoch 0, step {len(first)} of 10000" in printed

    refused = planned.run(*map(str, [command[0].name, *command[1:]]), fails=True)
    assert "Traceback" not in refused
    assert "is that of an unfinished training: continue it with --c, or set HERMES_OVERWRITE=1" in refused

    code, printed, (second,) = end_by(os.kill, signal.SIGTERM, "--c")
    assert code == 143
    assert "Traceback" not in printed
    assert f"ended by SIGTERM; checkpoint_latest.pth holds epoch 0, step {len(second)} of 10000" in printed
    assert len(second) > len(first)
    assert [float(output["loss"]) for output in second[: len(first)]] == [float(output["loss"]) for output in first]
