import json

import numpy as np
import pytest
import torch

from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.learning.training.learning_curves import (
    LearningCurves,
    MemberEpoch,
    member_sums,
    summed_over_processes,
)
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.output import HermesOutput

UNKNOWN = 2
CERTAIN = 20.0


@pytest.fixture
def loss(collection):
    return HermesLoss([task.values for task in collection.tasks], unknown_modality=UNKNOWN, scale_weights=(0.75, 0.25))


@pytest.fixture
def batch():
    """Output and target of abdomen__a (right), brain__x (its second task wrong everywhere) and brain__y (right)."""
    target = torch.zeros(3, 1, 4, 4, 4, dtype=torch.int16)
    target[0, :, :2], target[0, :, 2:] = 1, 2
    target[1, :, :2], target[1, :, 2:] = 3, 4
    target[2] = target[1]
    tasks = torch.tensor([[0, 1], [2, 3], [2, 3]])
    truth = [[(1,), (2,)], [(3, 4), (4,)], [(3, 4), (4,)]]
    logits = torch.stack(
        [
            torch.stack([torch.isin(labels[0], torch.tensor(values)) for values in rows])
            for labels, rows in zip(target, truth, strict=True)
        ]
    )
    logits = CERTAIN * (2.0 * logits - 1)
    logits[1, 1] *= -1
    modality_logits = torch.tensor([[3.0, 0, 0], [3, 0, 0], [0, 0, 3]])
    modalities = torch.tensor([0, 1, UNKNOWN])
    return HermesOutput([logits, logits], modality_logits, ContextBatch(tasks, modalities)), [target, target]


CASES = ("abdomen__a", "brain__x", "brain__y")


class TestSums:
    def test_a_member_has_its_own_patches_loss_and_modality(self, loss, batch, collection):
        sums = member_sums(loss, *batch, CASES, collection)
        assert sums[:, 0].tolist() == [1, 2]
        # Every voxel of one of two tasks is wrong by 20 logits: BCE 20, Dice loss 1.
        assert sums[:, 1] == pytest.approx([0, (CERTAIN + 1) / 2], abs=1e-3)
        assert sums[:, 2:].tolist() == [[1, 1], [1, 0]]

    def test_a_case_has_the_loss_that_it_has_alone(self, loss, batch, collection):
        output, target = batch
        noise = HermesOutput(
            [torch.randn_like(logits) for logits in output.logits], output.modality_logits, output.context
        )
        alone = [
            member_sums(
                loss,
                HermesOutput(
                    [logits[[case]] for logits in noise.logits],
                    noise.modality_logits[[case]],
                    ContextBatch(noise.context.task_index[[case]], noise.context.modality_index[[case]]),
                ),
                [labels[[case]] for labels in target],
                [name],
                collection,
            )
            for case, name in enumerate(CASES)
        ]
        np.testing.assert_allclose(member_sums(loss, noise, target, CASES, collection), sum(alone), rtol=1e-5)

    def test_padded_rows_count_in_nothing(self, loss, batch, collection):
        output, target = batch
        padded = HermesOutput(
            [torch.nn.functional.pad(logits, (0, 0, 0, 0, 0, 0, 0, 1), value=9.0) for logits in output.logits],
            output.modality_logits,
            ContextBatch(
                torch.nn.functional.pad(output.context.task_index, (0, 1), value=-1), output.context.modality_index
            ),
        )
        np.testing.assert_allclose(
            member_sums(loss, padded, target, CASES, collection), member_sums(loss, *batch, CASES, collection)
        )

    def test_batches_are_added_up(self):
        sums = summed_over_processes([np.ones((2, 4)), np.full((2, 4), 2.0)])
        assert sums.tolist() == [[3.0] * 4] * 2


def add_epoch(curves, epoch, loss=0.5):
    sums = np.array([[4, 4 * loss, 4, 3], [0, 0, 0, 0]])
    curves.add(
        epoch, 2e-3, np.float32(0.4), float("nan"), {"abdomen/liver": np.float64(0.25)}, sums, ["abdomen", "brain"]
    )


class TestFile:
    def test_sums_become_means_and_what_nothing_defines_null(self, tmp_path):
        curves = LearningCurves()
        add_epoch(curves, 0)
        curves.write(tmp_path / "curves.json")
        content = json.loads((tmp_path / "curves.json").read_text())
        assert content["format_version"] == 1
        assert content["versions"] == package_versions()
        assert content["epochs"] == [
            {
                "epoch": 0,
                "learning_rate": 0.002,
                "train_loss": 0.4,
                "validation_loss": None,
                "dice": {"abdomen/liver": 0.25},
                "members": {
                    "abdomen": {"patches": 4, "loss": 0.5, "modality_accuracy": 0.75},
                    "brain": {"patches": 0, "loss": None, "modality_accuracy": None},
                },
            }
        ]

    def test_is_read_as_it_was_written(self, tmp_path):
        curves = LearningCurves()
        add_epoch(curves, 0)
        curves.write(tmp_path / "curves.json")
        read = LearningCurves.read(tmp_path / "curves.json")
        assert read.epochs[0].members["abdomen"] == MemberEpoch(4, 0.5, 0.75)
        assert read.epochs[0].dice == {"abdomen/liver": 0.25}

    @pytest.mark.parametrize("content", ["{", "[]", '{"format_version": 2}', '{"format_version": 1, "epochs": [{}]}'])
    def test_another_content_is_told_with_what_to_do(self, tmp_path, content):
        (tmp_path / "curves.json").write_text(content)
        with pytest.raises(HermesError, match=r"curves\.json.*: delete it"):
            LearningCurves.read(tmp_path / "curves.json")


class TestContinuedTraining:
    @pytest.fixture
    def path(self, tmp_path):
        curves = LearningCurves()
        for epoch in range(5):
            add_epoch(curves, epoch)
        curves.write(tmp_path / "curves.json")
        return tmp_path / "curves.json"

    def test_keeps_the_epochs_before_its_checkpoint_and_drops_those_after(self, path):
        assert [entry.epoch for entry in LearningCurves.continued(path, 3).epochs] == [0, 1, 2]

    def test_a_new_training_in_the_same_folder_begins_anew(self, path):
        assert LearningCurves.continued(path, 0).epochs == []

    def test_of_a_model_without_curves_they_begin_where_it_goes_on(self, tmp_path):
        curves = LearningCurves.continued(tmp_path / "none.json", 7)
        add_epoch(curves, 7)
        assert [entry.epoch for entry in curves.epochs] == [7]
