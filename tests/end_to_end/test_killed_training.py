"""kill -9 during and between epochs, then --c."""

import random
import time

import pytest
import torch

pytestmark = pytest.mark.end_to_end
TRAINER = "HermesTrainerEndless"
KILLS = 3
PATIENCE_S = 300


def epochs_logged(fold):
    return sum(log.read_text().count("Epoch time") for log in fold.glob("training_log_*.txt"))


def test_a_killed_training_continues_and_never_meets_a_broken_checkpoint(planned):
    arguments = (planned.collection, "3d_fullres", 0, "-tr", TRAINER, "-p", planned.plans, "-device", "cpu")
    fold = planned.model(planned.collection, TRAINER) / "fold_0"
    chance = random.Random(0)
    reached = 0
    for kill in range(KILLS):
        process = planned.start("nnUNetv2_train", *arguments, *(["--c"] if kill else []))
        deadline = time.monotonic() + PATIENCE_S
        start = epochs_logged(fold) if fold.is_dir() else 0
        while not (fold.is_dir() and epochs_logged(fold) > start and (fold / "checkpoint_best.pth").is_file()):
            assert process.poll() is None, "the training ended by itself"
            assert time.monotonic() < deadline, "no epoch was finished in time"
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 3))  # somewhere in an epoch, a validation or a checkpoint
        planned.kill(process)
        checkpoints = [torch.load(path, weights_only=False) for path in fold.glob("checkpoint_*.pth")]
        assert checkpoints
        saved = max(checkpoint["current_epoch"] for checkpoint in checkpoints)
        assert saved >= max(1, reached)
        reached = saved
    logs = sorted(fold.glob("training_log_*.txt"))
    assert len(logs) == KILLS
    assert "Epoch 0\n" not in logs[-1].read_text().replace(" \n", "\n")
