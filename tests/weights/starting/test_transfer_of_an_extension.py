"""HermesTrainerTransfer on a collection that `hermes_nnunet extend` has made."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from hermes_nnunet.core.checkpoints import read_checkpoint


@pytest.fixture
def trainer(extended, new_member):
    """Of one new member of a modality that the base does not know."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_transfer import HermesTrainerTransfer

    new_member(305, ("gallbladder", "duct"))
    result = extended("305:T2", 901)
    shutil.copy(result.merged.folder / "splits_final.json", result.plans.parent)
    # By which nnU-Net tells how images are stored; none is read.
    (result.plans.parent / "HermesPlans_3d_fullres").mkdir()
    (result.plans.parent / "HermesPlans_3d_fullres" / "case.b2nd").touch()
    plans = {**json.loads(result.plans.read_text()), "continue_training": False}
    content = json.loads((result.plans.parent / "dataset.json").read_text())
    trainer = HermesTrainerTransfer(plans, "3d_fullres", 0, content, torch.device("cpu"))
    trainer.initialize()
    Path(trainer.output_folder).mkdir(parents=True, exist_ok=True)
    return trainer


def test_an_ordinary_network_starts_from_the_base(trainer, base):
    trainer.begin()
    weights = trainer.bare_network.state_dict()
    of_base = read_checkpoint(base / "fold_0" / "checkpoint_final.pth")["network_weights"]
    assert not any("adapters" in name for name in weights)
    assert not trainer.hermes_plans.additions
    assert trainer.hermes_plans.base.model == str(base)
    name = "encoder.stages.1.blocks.0.conv1.conv.weight"
    assert torch.equal(weights[name], of_base[name])
    pool = "encoder_fusion.2.seg_layers.priors"
    assert torch.equal(weights[f"{pool}.tasks"][-1], of_base[f"{pool}.tasks"][-1])  # the null row
    assert torch.equal(weights[f"{pool}.modalities"][-1], of_base[f"{pool}.modalities"][-1])  # "unknown"
    assert trainer.beginning.rows[f"{pool}.tasks"] == (2,)
    assert trainer.beginning.members == ("abdomen", "brain")
    assert json.loads((Path(trainer.output_folder) / "hermes_start.json").read_text())["format_version"] == 1


def test_all_of_it_learns(trainer):
    assert all(parameter.requires_grad for parameter in trainer.bare_network.parameters())
    learning = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert learning == {id(parameter) for parameter in trainer.bare_network.parameters()}
