"""Trainings of a grown collection that start from a model of the smaller one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hermes_nnunet.collection import Collection, Task
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans

PRIORS = "encoder_fusion.2.seg_layers.priors.tasks"


@pytest.fixture
def base(make_trainer, tmp_path):
    """A finished training's folder, whose validation held out abdomen__c and brain__y."""
    trainer = make_trainer()
    trainer.initialize()
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in trainer.bare_network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    folder = Path(trainer.output_folder)
    trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
    (folder.parent / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (folder.parent / "dataset.json").write_text(json.dumps(trainer.dataset_json))
    (folder / "validation").mkdir()
    entries = [{"prediction_file": f"{case}.nii.gz", "metrics": {}} for case in ("abdomen__c", "brain__y")]
    (folder / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
    model = folder.parent.rename(tmp_path / "base")
    return model, {name: weight.clone() for name, weight in trainer.bare_network.state_dict().items()}


@pytest.fixture
def grown(base, collection, dataset_json, plans, monkeypatch):
    """The collection has one task more, in the first row, since the base was trained."""
    tasks = (Task("brain/edema", (5,), 5), *collection.tasks)
    brain = replace(
        collection.members["brain"],
        tasks=("brain/whole", "brain/core", "brain/edema"),
        labels={"background": 0, "whole": [1, 2], "core": 2, "edema": 3},
        regions_class_order=(1, 2, 3),
    )
    new = replace(collection, tasks=tasks, members={**collection.members, "brain": brain})
    dataset_json["hermes"] = new.to_block()
    dataset_json["labels"] = {
        "background": 0, "brain/edema": 5, "abdomen/liver": 1, "abdomen/spleen": 2, "brain/whole": [3, 4],
        "brain/core": 4,
    }  # fmt: skip
    dataset_json["regions_class_order"] = [5, 1, 2, 3, 4]
    clipping = HermesPlans.from_plans(plans).intensity_clipping
    plans["hermes"] = HermesPlans.of_collection(Collection.from_dataset_json(dataset_json, "x"), clipping).to_block()
    monkeypatch.setenv("HERMES_START_FROM", str(base[0]))
    return base[1]


def log_of(trainer):
    return Path(trainer.log_file).read_text()


def interrupted_with_priors_of_7(trainer):
    """The checkpoint of a training that a signal ends after the first step."""
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.train_step(next(trainer.dataloader_train))
    with torch.no_grad():
        trainer.bare_network.state_dict()[PRIORS].fill_(7)
    trainer._save_within_epoch()
    return str(Path(trainer.output_folder) / "checkpoint_latest.pth")


class TestHermesTrainer:
    def test_takes_over_rows_by_name_and_says_so(self, grown, make_trainer):
        trainer = make_trainer()
        trainer.on_train_start()
        weights = trainer.bare_network.state_dict()
        assert torch.equal(weights[PRIORS][1:], grown[PRIORS])
        assert torch.equal(weights["decoder.transpconvs.0.weight"], grown["decoder.transpconvs.0.weight"])
        assert "new: brain/edema; no modality" in log_of(trainer)
        assert "WARNING" not in log_of(trainer)

    def test_warns_of_validation_cases_that_the_base_was_trained_on(self, grown, make_trainer):
        trainer = make_trainer(fold=1)
        trainer.on_train_start()
        assert "WARNING: 3 validation cases were training cases of" in log_of(trainer)
        assert "abdomen__a, abdomen__b, brain__x" in log_of(trainer)

    @pytest.mark.parametrize("where", ["base", "training"])
    def test_warns_of_none_that_has_no_labels(self, base, grown, make_trainer, dataset_json, where):
        """There is no Dice of it, or the base has learned nothing of what is scored."""
        content = json.loads((base[0] / "dataset.json").read_text())
        for case in ("abdomen__b", "brain__x"):
            (content if where == "base" else dataset_json)["hermes"]["cases"][case]["annotated"] = []
        (base[0] / "dataset.json").write_text(json.dumps(content))
        trainer = make_trainer(fold=1)
        trainer.on_train_start()
        assert "WARNING: 1 validation cases were training cases of" in log_of(trainer)

    @pytest.mark.parametrize("content", [{}, {"metric_per_case": [{"metrics": {}}]}])
    def test_names_a_summary_that_is_damaged(self, base, make_trainer, monkeypatch, content):
        model, _ = base
        (model / "fold_0" / "validation" / "summary.json").write_text(json.dumps(content))
        monkeypatch.setenv("HERMES_START_FROM", str(model))
        with pytest.raises(HermesError, match=r"validation/summary\.json.* is missing: run the validation again"):
            make_trainer().run_training()

    def test_says_what_is_done_otherwise_to_the_images(self, base, grown, make_trainer, plans):
        of_base = json.loads((base[0] / "plans.json").read_text())
        of_base["hermes"] |= {"voxel_order": "LPS", "voxel_orders": {"abdomen": "LPS", "brain": "RAI"}}
        (base[0] / "plans.json").write_text(json.dumps(of_base))
        plans["configurations"]["3d_fullres"]["spacing"] = [2, 2, 2]
        plans["hermes"]["intensity_clipping"]["CT"] = {"range": [0, 1]}
        trainer = make_trainer()
        trainer.on_train_start()
        assert "it saw images in the voxel order LPS, here the network sees them in RAS" in log_of(trainer)
        assert "its images had a spacing of [1.5, 1.5, 1.5] mm, here they have [2.0, 2.0, 2.0] mm" in log_of(trainer)
        assert (
            "its images of CT were normalised by {'range': [-991.0, 500.0]}, here they are by {'range': [0.0, 1.0]}"
            in log_of(trainer)
        )

    def test_continued_keeps_what_it_has_learned(self, grown, make_trainer, monkeypatch):
        trainer = make_trainer()
        trainer.on_train_start()
        with torch.no_grad():
            trainer.bare_network.state_dict()[PRIORS].fill_(7)
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        again = make_trainer(continue_training=True)
        again.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        monkeypatch.setenv("HERMES_START_FROM", "/gone")
        again.on_train_start()
        assert torch.equal(again.bare_network.state_dict()[PRIORS], torch.full((6, 16), 7.0))

    def test_interrupted_within_the_first_epoch_keeps_what_it_has_learned(self, grown, make_trainer):
        trainer = make_trainer()
        latest = interrupted_with_priors_of_7(trainer)
        again = make_trainer(continue_training=True)
        again.load_checkpoint(latest)
        again.on_train_start()
        assert again.current_epoch == 0
        assert torch.equal(again.bare_network.state_dict()[PRIORS], torch.full((6, 16), 7.0))

    def test_needs_a_model_that_is_finished_and_of_hermes(self, base, make_trainer, monkeypatch):
        model, _ = base
        monkeypatch.setenv("HERMES_START_FROM", str(model))
        (model / "fold_0" / "checkpoint_final.pth").rename(model / "fold_0" / "checkpoint_latest.pth")
        with pytest.raises(HermesError, match=r"HERMES_START_FROM=.*base has no fold with a checkpoint_final"):
            make_trainer().on_train_start()
        monkeypatch.setenv("HERMES_START_FROM", str(model / "nothing"))
        with pytest.raises(HermesError, match=r"HERMES_START_FROM=.*nothing"):
            make_trainer().on_train_start()
        latest = model / "fold_0" / "checkpoint_latest.pth"
        monkeypatch.setenv("HERMES_START_FROM", str(latest))
        with pytest.raises(HermesError, match=r"latest\.pth is not of a training that reached its end"):
            make_trainer().on_train_start()
        monkeypatch.setenv("HERMES_START_FROM", str(latest.rename(latest.with_name("checkpoint_final.pth"))))
        plans = json.loads((model / "plans.json").read_text())
        del plans["hermes"]
        (model / "plans.json").write_text(json.dumps(plans))
        with pytest.raises(HermesError, match=r"is a model of plain nnU-Net: start from it with"):
            make_trainer().on_train_start()

    def test_may_take_the_place_of_its_base(self, base, grown, make_trainer, monkeypatch, tmp_path):
        """The base's plans, which nnU-Net overwrites, know other tasks."""
        place = base[0].rename(tmp_path / "results" / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres")
        monkeypatch.setenv("HERMES_START_FROM", str(place))
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        trainer = make_trainer()
        assert trainer.output_folder_base == str(place)
        trainer.on_train_start()
        assert torch.equal(trainer.bare_network.state_dict()[PRIORS][1:], grown[PRIORS])
        assert not list(place.rglob("*.pth"))

    def test_of_several_folds_takes_its_own_or_wants_to_be_told(self, base, make_trainer, monkeypatch):
        model, _ = base
        (model / "fold_3").mkdir()
        (model / "fold_3" / "checkpoint_final.pth").write_bytes(
            (model / "fold_0" / "checkpoint_final.pth").read_bytes()
        )
        monkeypatch.setenv("HERMES_START_FROM", str(model))
        trainer = make_trainer(fold=0)
        trainer.on_train_start()
        assert f"started from {model}/fold_0/checkpoint_final.pth" in log_of(trainer)
        with pytest.raises(HermesError, match=r"has the folds 0, 3, and not 1: name the file to start from"):
            make_trainer(fold=1).on_train_start()


@pytest.fixture
def hermes():
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

    return HermesTrainer


@pytest.fixture
def transfer():
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_transfer import HermesTrainerTransfer

    return HermesTrainerTransfer


class TestOverwriting:
    """A start that is refused costs nothing of the training whose place it would have taken."""

    @pytest.fixture
    def older(self, make_trainer, transfer, monkeypatch):
        """A function: the folder of a model that a trainer has left, and what is in it."""
        monkeypatch.setenv("HERMES_OVERWRITE", "1")

        def make(trainer_class):
            trainer = make_trainer(trainer_class=trainer_class)
            trainer.initialize()
            fold = Path(trainer.output_folder)
            (fold / "validation").mkdir()
            (fold / "validation" / "summary.json").touch()
            trainer.save_checkpoint(str(fold / "checkpoint_final.pth"))
            (fold.parent / "plans.json").write_text("as it was")
            return fold.parent

        return make

    @staticmethod
    def content(folder):
        return {file: file.read_bytes() for file in folder.rglob("*") if file.suffix in (".pth", ".json")}

    def test_with_a_wrong_name(self, older, make_trainer, hermes, monkeypatch):
        before = self.content(folder := older(hermes))
        monkeypatch.setenv("HERMES_START_FROM", "/gone")
        with pytest.raises(HermesError, match="HERMES_START_FROM=/gone"):
            make_trainer().run_training()
        assert self.content(folder) == before

    def test_with_a_base_of_another_network(self, base, older, make_trainer, hermes, monkeypatch):
        before = self.content(folder := older(hermes))
        file = base[0] / "fold_0" / "checkpoint_final.pth"
        content = torch.load(file, weights_only=False)
        del content["network_weights"]["decoder.transpconvs.0.weight"]
        torch.save(content, file)
        monkeypatch.setenv("HERMES_START_FROM", str(base[0]))
        with pytest.raises(HermesError, match="another network"):
            make_trainer().run_training()
        assert self.content(folder) == before

    def test_without_the_base_that_a_transfer_needs(self, older, make_trainer, transfer):
        before = self.content(folder := older(transfer))
        with pytest.raises(HermesError, match="extends no model"):
            make_trainer(trainer_class=transfer).run_training()
        assert self.content(folder) == before


class TestTransfer:
    def test_old_rows_move_less_than_new_ones(self, grown, make_trainer, transfer):
        class AtOnce(transfer):
            base_share = 0.5
            warm_up_share = 0

        trainer = make_trainer(trainer_class=AtOnce)
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        before = trainer.bare_network.state_dict()["decoder.heads.0.seg_layers.classifiers.weight"].clone()
        shows_the_brain = (b for b in trainer.dataloader_train if any("brain" in case for case in b["keys"]))
        trainer.train_step(next(shows_the_brain))
        moved = trainer.bare_network.state_dict()["decoder.heads.0.seg_layers.classifiers.weight"] - before
        drawn = moved.abs().amax(dim=1)
        assert drawn[0] == pytest.approx(2e-3, rel=0.1)
        assert drawn[1:].max() == pytest.approx(1e-3, rel=0.1)

    def test_continued_has_the_same_rates_and_needs_no_base(self, grown, make_trainer, transfer, base, monkeypatch):
        trainer = make_trainer(trainer_class=transfer)
        trainer.on_train_start()
        trainer.current_epoch = 1
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        monkeypatch.delenv("HERMES_START_FROM")
        again = make_trainer(trainer_class=transfer, continue_training=True)
        again.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        again.on_train_start()
        assert again.beginning == trainer.beginning
        assert again.beginning.rows[PRIORS] == (1, 2, 3, 4, 5)
        assert [g["lr"] for g in again.optimizer.param_groups] == [g["lr"] for g in trainer.optimizer.param_groups]

    def test_interrupted_within_the_first_epoch_keeps_what_it_has_learned(self, grown, make_trainer, transfer):
        trainer = make_trainer(trainer_class=transfer)
        latest = interrupted_with_priors_of_7(trainer)
        again = make_trainer(trainer_class=transfer, continue_training=True)
        again.load_checkpoint(latest)
        again.on_train_start()
        assert again.beginning == trainer.beginning
        assert torch.equal(again.bare_network.state_dict()[PRIORS], torch.full((6, 16), 7.0))

    def test_continued_with_a_damaged_record_says_what_is_wrong(self, grown, make_trainer, transfer):
        trainer = make_trainer(trainer_class=transfer)
        trainer.on_train_start()
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        record = Path(trainer.output_folder) / "hermes_start.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "rows": {PRIORS: ["first"]}}))
        again = make_trainer(trainer_class=transfer, continue_training=True)
        again.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
        with pytest.raises(HermesError, match=r"hermes_start\.json: rows\..*must be a whole number, not 'first'"):
            again.on_train_start()

    def test_without_a_base_is_refused(self, make_trainer, transfer):
        with pytest.raises(HermesError, match=r"Dataset900_Both extends no model: make it with 'hermes_nnunet extend'"):
            make_trainer(trainer_class=transfer).on_train_start()

    def test_whole_run_says_which_views_are_not_made(self, base, make_trainer, transfer, plans, monkeypatch, tmp_path):
        model, _ = base
        content = json.loads((model / "plans.json").read_text())
        content["hermes"]["members"]["heart"] = {**content["hermes"]["members"]["brain"], "name": "heart"}
        (model / "plans.json").write_text(json.dumps(content))
        monkeypatch.setenv("HERMES_START_FROM", str(model))
        trainer = make_trainer(trainer_class=transfer, epochs=1)
        trainer.run_training()
        assert "no views are made of heart: all weights of the base have learned" in log_of(trainer)
        assert (tmp_path / "results" / "Dataset011_abdomen" / "HermesTrainerTransfer__HermesPlans__3d_fullres").is_dir()

    def test_starts_from_what_its_collection_extends(self, base, make_trainer, transfer, plans):
        model, weights = base
        plans["hermes"]["base"] = {"model": str(model), "fold": "0", "weights": "any"}
        trainer = make_trainer(trainer_class=transfer)
        trainer.on_train_start()
        assert torch.equal(trainer.bare_network.state_dict()[PRIORS], weights[PRIORS])
