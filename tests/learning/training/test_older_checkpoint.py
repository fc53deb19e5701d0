"""A training that an earlier release began goes on where it stopped."""

import json
from pathlib import Path

import pytest
import torch

from hermes_nnunet.learning.training.unknown_modality import SHARE_KEY

EPOCHS = 15


@pytest.fixture
def plans(older_files):
    return json.loads((older_files / "collection/HermesSPlans.json").read_text())


@pytest.fixture
def dataset_json(older_files):
    return json.loads((older_files / "collection/dataset.json").read_text())


def test_weights_optimizer_and_random_numbers_are_those_of_the_checkpoint(make_trainer, older_files):
    file = older_files / "model/fold_0/checkpoint_final.pth"
    before = torch.load(file, weights_only=False)
    trainer = make_trainer(continue_training=True, epochs=EPOCHS + 1)
    trainer.load_checkpoint(str(file))
    assert trainer.current_epoch == EPOCHS
    weights = trainer.network.state_dict()
    assert list(weights) == list(before["network_weights"])
    assert all(torch.equal(weights[name], tensor) for name, tensor in before["network_weights"].items())
    state = trainer.optimizer.state_dict()["state"]
    assert state.keys() == before["optimizer_state"]["state"].keys()
    parameters = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    for number, moments in before["optimizer_state"]["state"].items():
        assert moments["exp_avg"].shape == parameters[number].shape
        assert torch.equal(state[number]["exp_avg"], moments["exp_avg"])

    trainer.on_train_start()
    assert torch.equal(torch.get_rng_state(), before["hermes_continuation"]["random_states"][0]["torch"])


def test_another_epoch_is_trained(make_trainer, older_files):
    file = older_files / "model/fold_0/checkpoint_final.pth"
    trainer = make_trainer(continue_training=True, epochs=EPOCHS + 1)
    trainer.load_checkpoint(str(file))
    trainer.run_training()
    before = torch.load(file, weights_only=False)
    after = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    assert after.keys() == before.keys() | {SHARE_KEY}
    assert after["current_epoch"] == EPOCHS + 1
    assert len(after["logging"]["mean_fg_dice"]) == EPOCHS + 1
    changed = [not torch.equal(after["network_weights"][name], w) for name, w in before["network_weights"].items()]
    assert sum(changed) > len(changed) / 2
