import errno
import json
import math
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from hermes_nnunet.collection import Context
from hermes_nnunet.core.nnunet_files import without_cases
from hermes_nnunet.errors import HermesError, TrainingEndedError
from hermes_nnunet.learning.loss.hermes_loss import plain_dice_loss
from hermes_nnunet.learning.training.interruptible_trainer import InterruptibleTrainer
from hermes_nnunet.learning.training.learning_curves import LearningCurves


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


class TestPlans:
    def test_stock_plans_are_refused_before_a_folder_is_made(self, make_trainer, plans, tmp_path):
        del plans["hermes"]
        with pytest.raises(HermesError, match="no 'hermes' block"):
            make_trainer()
        assert list((tmp_path / "results").iterdir()) == []

    def test_plans_that_name_a_command_are_refused_before_a_folder_is_made(self, make_trainer, plans, tmp_path):
        plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["norm_op"] = "os.system"
        with pytest.raises(HermesError, match=r"norm_op is 'os\.system'"):
            make_trainer()
        assert list((tmp_path / "results").iterdir()) == []

    def test_a_collection_whose_merge_was_cut_short_is_refused(self, make_trainer, tmp_path):
        record = {"format_version": 1, "specification": {"members": []}, "values": {}, "cases": {}, "complete": False}
        (tmp_path / "raw" / "Dataset900_Both").mkdir()
        (tmp_path / "raw" / "Dataset900_Both" / "hermes_merge.json").write_text(json.dumps(record))
        with pytest.raises(HermesError, match="run the merge again"):
            make_trainer()

    def test_a_data_set_that_was_not_merged_is_refused(self, make_trainer, dataset_json):
        del dataset_json["hermes"]
        with pytest.raises(HermesError, match=r"dataset\.json of Dataset900_Both .*hermes_nnunet merge"):
            make_trainer()

    def test_plans_of_an_older_merge_are_refused(self, make_trainer, dataset_json):
        block = dataset_json["hermes"]
        block["tasks"] = block["tasks"][:-1]
        whole = {"tasks": ["brain/whole"], "labels": {"background": 0, "whole": [1, 2]}, "regions_class_order": [1]}
        block["members"]["brain"].update(whole)
        with pytest.raises(HermesError, match="merged again"):
            make_trainer()


class TestFolds:
    def test_the_merges_split_is_used(self, make_trainer):
        trainer = make_trainer(fold=1)
        trainer.initialize()
        assert trainer.do_split() == (["abdomen__c", "brain__y"], ["abdomen__a", "abdomen__b", "brain__x"])

    def test_a_fold_that_does_not_exist_is_refused(self, make_trainer):
        trainer = make_trainer(fold=2)
        with pytest.raises(HermesError, match="has 2 folds, so fold 2 does not exist: use 0 to 1"):
            trainer.do_split()

    def test_a_missing_split_is_refused(self, make_trainer, preprocessed):
        (preprocessed / "splits_final.json").unlink()
        with pytest.raises(HermesError, match=r"splits_final\.json does not exist"):
            make_trainer().do_split()


class TestTraining:
    def test_batches_are_label_maps_without_mirroring(self, make_trainer):
        trainer = make_trainer()
        trainer.initialize()
        train, _ = trainer.get_dataloaders()
        batch = next(train)
        assert [tuple(target.shape) for target in batch["target"]] == [(2, 1, 16, 16, 16)]
        assert trainer.inference_allowed_mirroring_axes is None
        assert "MirrorTransform" not in str(train.data_loader.transforms.transforms)

    @pytest.mark.parametrize(("batch_size", "forced"), [(2, [False, True]), (4, [False, False, True, True])])
    def test_half_of_a_batch_must_show_a_task(self, make_trainer, plans, batch_size, forced):
        plans["configurations"]["3d_fullres"]["batch_size"] = batch_size
        trainer = make_trainer()
        trainer.initialize()
        for loader in trainer.get_dataloaders():
            assert [loader.data_loader.get_do_oversample(patch) for patch in range(batch_size)] == forced

    def test_every_case_is_run_with_its_members_context(self, make_trainer):
        trainer = make_trainer()
        trainer.initialize()
        batch = {
            "data": torch.randn(2, 1, 16, 16, 16),
            "target": [torch.zeros(2, 1, 16, 16, 16, dtype=torch.int16)],
            "keys": np.array(["brain__x", "abdomen__b"]),
        }
        assert math.isfinite(trainer.train_step(batch)["loss"])
        assert (trainer.loss.cross_entropy_weight, trainer.loss.absent_weight) == (3, 0.2)
        assert trainer.loss.dice_loss is plain_dice_loss
        assert trainer.network.context.task_index.tolist() == [[2, 3], [0, 1]]
        assert trainer.network.context.modality_index.tolist() == [1, 0]

    def test_the_loss_goes_from_the_logarithm_to_the_dice_itself(self, make_trainer):
        trainer = make_trainer()
        trainer.num_epochs, trainer.num_iterations_per_epoch = 5, 50
        trainer.initialize()
        exponents = []
        for trainer.current_epoch in range(5):
            trainer.on_train_epoch_start()
            exponents.append(trainer.loss.dice_exponent)
            trainer.on_validation_epoch_start()
            assert trainer.loss.dice_exponent == 1  # so that epochs can be compared
        assert exponents == [0, 0.25, 0.5, 0.75, 1]

    def test_what_is_left_of_a_continued_epoch_has_the_exponent_of_the_whole(self, make_trainer):
        trainer = make_trainer()
        trainer.num_epochs, trainer.num_iterations_per_epoch = 20, 100
        trainer.initialize()
        trainer.current_epoch, trainer.num_iterations_per_epoch = 3, 2
        trainer.on_train_epoch_start()
        assert trainer.loss.dice_exponent == pytest.approx(0.3)  # of 10 epochs, which are 1000 batches

    def test_interrupted_and_resumed_equals_uninterrupted(self, make_trainer):
        def steps(trainer, count):
            torch.manual_seed(count)
            for _ in range(2):
                batch = {
                    "data": torch.randn(2, 1, 16, 16, 16),
                    "target": [torch.randint(0, 5, (2, 1, 16, 16, 16), dtype=torch.int16)],
                    "keys": np.array(["brain__x", "abdomen__b"]),
                }
                trainer.train_step(batch)

        first = make_trainer()
        first.initialize()
        steps(first, 1)
        checkpoint = f"{first.output_folder}/checkpoint_latest.pth"
        first.save_checkpoint(checkpoint)
        second = make_trainer(continue_training=True)
        second.load_checkpoint(checkpoint)
        steps(first, 2)
        steps(second, 2)
        for name, value in weights_of(first).items():
            assert torch.equal(value, weights_of(second)[name]), name

    def test_a_checkpoint_has_every_entry_of_nnunets_and_is_written_once(self, make_trainer, monkeypatch, tmp_path):
        trainer = make_trainer()
        trainer.initialize()
        written = []
        monkeypatch.setattr(torch, "save", lambda content, path: written.append(content))
        trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
        nnUNetTrainer.save_checkpoint(trainer, str(tmp_path / "stock.pth"))
        ours, stock = written
        assert list(ours) == [*stock, "hermes_unknown_modality_share", "hermes_continuation"]
        for name, tensor in stock.pop("network_weights").items():
            assert ours["network_weights"][name].data_ptr() == tensor.data_ptr()
        # The table of cases stays in dataset.json beside.
        stock["init_args"] = {**stock["init_args"], "dataset_json": without_cases(trainer.dataset_json)}
        assert {name: ours[name] for name in stock} == stock
        assert ours["init_args"]["dataset_json"]["hermes"]["cases"] == {}

    def test_a_checkpoint_with_code_is_neither_continued_nor_validated(self, make_trainer, tmp_path):
        class Command:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'code_was_run'}",)

        trainer = make_trainer()
        trainer.initialize()
        path = Path(trainer.output_folder) / "checkpoint_latest.pth"
        trainer.save_checkpoint(str(path))
        trainer.load_checkpoint(str(path))
        torch.save({**torch.load(path, weights_only=False), "logging": Command()}, path)
        with pytest.raises(HermesError, match="holds more than a checkpoint"):
            trainer.load_checkpoint(str(path))
        assert not (tmp_path / "code_was_run").exists()

    def test_a_failing_save_leaves_the_old_checkpoint(self, make_trainer, monkeypatch):
        trainer = make_trainer()
        trainer.initialize()
        checkpoint = f"{trainer.output_folder}/checkpoint_latest.pth"
        trainer.save_checkpoint(checkpoint)
        before = Path(checkpoint).read_bytes()

        def half_written(content, path):
            Path(path).write_bytes(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(torch, "save", half_written)
        with pytest.raises(OSError, match="disk full"):
            trainer.save_checkpoint(checkpoint)
        assert Path(checkpoint).read_bytes() == before

    def test_a_disk_that_is_full_after_the_final_validation_is_one_line(self, make_trainer, monkeypatch):
        trainer = make_trainer()
        trainer.initialize()
        monkeypatch.setattr(InterruptibleTrainer, "perform_actual_validation", lambda *_: None)
        folder = Path(trainer.output_folder)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "validation" / "summary.json"))

        monkeypatch.setattr(f"{type(trainer).perform_actual_validation.__module__}.restrict_summary", full)
        with pytest.raises(TrainingEndedError, match=r"summary\.json.* disk is full"):
            trainer.perform_actual_validation()

    def test_disabled_checkpointing_writes_none(self, make_trainer, tmp_path):
        trainer = make_trainer(epochs=1)
        trainer.disable_checkpointing = True
        trainer.run_training()
        assert not list((tmp_path / "results").rglob("*.pth"))


class TestExtraTasks:
    @pytest.fixture
    def exclusive(self, dataset_json):
        """The core excludes liver and spleen, the whole tumour the liver; no image of the brain shows the spleen."""
        excludes = {
            "abdomen/liver": ["brain/whole", "brain/core"],
            "abdomen/spleen": ["brain/core"],
            "brain/whole": ["abdomen/liver"],
            "brain/core": ["abdomen/liver", "abdomen/spleen"],
        }
        dataset_json["hermes"] |= {"excludes": excludes, "absent": {"brain": ["abdomen/spleen"]}}

    @staticmethod
    def batch():
        torch.manual_seed(0)
        return {
            "data": torch.randn(2, 1, 16, 16, 16),
            "target": [torch.randint(0, 5, (2, 1, 16, 16, 16), dtype=torch.int16)],
            "keys": np.array(["brain__x", "abdomen__b"]),
        }

    @staticmethod
    def contexts_of(network):
        """The list to which the network's contexts will be added."""
        contexts, forward = [], network.forward
        network.forward = lambda data: contexts.append(network.context) or forward(data)
        return contexts

    @pytest.mark.usefixtures("exclusive")
    def test_join_the_cases_own_in_training_but_not_in_validation(self, make_trainer):
        trainer = make_trainer()
        trainer.initialize()
        contexts = self.contexts_of(trainer.network)
        assert math.isfinite(trainer.train_step(self.batch())["loss"])
        trainer.on_validation_epoch_start()
        trainer.validation_step(self.batch())
        training, validation = contexts
        assert training.task_index[:, :2].tolist() == [[2, 3], [0, 1]]
        assert sorted(training.task_index[0, 2:].tolist()) == [0, 1]
        assert sorted(training.task_index[1, 2:].tolist()) == [2, 3]
        assert training.negatives.shape == (2, 2, 5)
        assert validation.task_index.tolist() == [[2, 3, -1, -1], [0, 1, -1, -1]]
        assert validation.negatives is None

    @pytest.mark.usefixtures("exclusive")
    def test_are_drawn_by_epoch_and_step(self, make_trainer, monkeypatch):
        trainer = make_trainer(epochs=4)
        trainer.initialize()
        steps = []
        of_batch = trainer.extra.of_batch
        monkeypatch.setattr(trainer.extra, "of_batch", lambda cases, step: steps.append(step) or of_batch(cases, step))
        for trainer.current_epoch in (0, 3):
            trainer.on_train_epoch_start()
            for _ in range(2):
                trainer.train_step(self.batch())
        assert steps == [(0, 0), (0, 1), (3, 0), (3, 1)]

    @pytest.mark.usefixtures("exclusive")
    def test_are_none_in_networks_that_attend_to_padding(self, make_trainer, monkeypatch):
        from hermes_nnunet.networks.hermes_unet import HermesUNet

        monkeypatch.setattr(HermesUNet, "attends_to_null_rows", True)
        trainer = make_trainer()
        trainer.initialize()
        assert trainer.extra.rows == 0

    def test_change_nothing_where_nothing_is_known_of_other_tasks(self, make_trainer, dataset_json):
        def losses():
            trainer = make_trainer()
            torch.manual_seed(0)
            trainer.initialize()
            contexts = self.contexts_of(trainer.network)
            found = [float(trainer.train_step(self.batch())["loss"]) for _ in range(2)]
            assert contexts[0].task_index.tolist() == [[2, 3], [0, 1]]
            assert contexts[0].negatives is None
            return found

        with_keys = losses()
        del dataset_json["hermes"]["excludes"], dataset_json["hermes"]["absent"]
        assert losses() == with_keys

    @pytest.mark.usefixtures("exclusive")
    def test_teach_a_task_where_it_is_not(self, make_trainer):
        def probability_of_the_spleen(number):
            """In an image of the brain, which shows none, after some steps."""
            trainer = make_trainer()
            trainer.extra_tasks = number
            torch.manual_seed(0)
            trainer.initialize()
            trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), 0.1, momentum=0.9)
            batch = self.batch()
            batch["target"][0][1] = 2  # all of the abdomen's image is spleen
            for _ in range(12):
                trainer.train_step(batch)
            network = trainer.bare_network.eval()
            context = trainer.context_of_batch([Context(("abdomen/spleen",), "T1")])
            network.set_context(context)
            with torch.no_grad():
                return network(batch["data"][:1]).logits[0].sigmoid().mean().item()

        assert probability_of_the_spleen(2) < 0.3 < 0.6 < probability_of_the_spleen(0)


class TestWholeRun:
    def test_training_leaves_checkpoints_dice_and_views(self, make_trainer, dataset_json, tmp_path, capsys):
        # So its core is neither shown nor scored.
        dataset_json["hermes"]["cases"]["brain__y"]["annotated"] = ["brain/whole"]
        trainer = make_trainer()
        fold = tmp_path / "results/Dataset900_Both/HermesTrainer__HermesPlans__3d_fullres/fold_0"
        (fold / "validation").mkdir()
        (fold / "validation" / "summary.json").write_text("that of a training before")
        trainer.run_training()
        assert not (fold / "validation" / "summary.json").exists()
        trainer.perform_actual_validation(save_probabilities=True)
        assert (fold / "checkpoint_final.pth").is_file()

        printed = capsys.readouterr().out
        assert "abdomen: " in printed
        assert "brain: " in printed
        assert "all members" in printed
        assert "extra tasks of a case: 0, drawn from 0 for abdomen, 0 for brain" in printed

        epochs = LearningCurves.read(fold / "learning_curves.json").epochs
        assert [entry.epoch for entry in epochs] == [0, 1]
        assert sum(member.patches for member in epochs[1].members.values()) == 4
        assert set(epochs[1].dice) == set(trainer.collection.task_names)

        validation = fold / "validation"
        segmented = {p.name: set(np.unique(nibabel.load(p).dataobj)) for p in validation.glob("*.nii.gz")}
        assert set(segmented) == {"abdomen__c.nii.gz", "brain__y.nii.gz"}
        assert segmented["abdomen__c.nii.gz"] <= {0, 1, 2}
        assert segmented["brain__y.nii.gz"] <= {0, 3}
        assert np.load(validation / "brain__y.npz")["probabilities"].shape == (4, 20, 20, 20)
        dice = json.loads((validation / "dice_by_member.json").read_text())
        assert set(dice["members"]) == {"abdomen", "brain"}
        assert set(dice["members"]["brain"]["tasks"]) == {"brain/whole"}
        metrics = {
            Path(case["prediction_file"]).name: case["metrics"]
            for case in json.loads((validation / "summary.json").read_text())["metric_per_case"]
        }
        assert math.isnan(metrics["brain__y.nii.gz"]["4"]["Dice"])
        assert (validation / "dice_by_member.csv").is_file()

        view = tmp_path / "results/Dataset012_brain/HermesTrainer__HermesPlans__3d_fullres"
        assert json.loads((view / "dataset.json").read_text())["labels"] == {
            "background": 0,
            "whole": [1, 2],
            "core": 2,
        }
        assert (view / "fold_0/checkpoint_final.pth").samefile(fold / "checkpoint_final.pth")
        summary = json.loads((view / "fold_0/validation/summary.json").read_text())
        assert set(summary["mean"]) == {"(1, 2)", "2"}
        assert [len(case["metrics"]) for case in summary["metric_per_case"]] == [2]


def test_short_variants_have_nnunets_names():
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    for epochs in (5, 10, 50, 250):
        assert recursive_find_trainer_class_by_name(f"HermesTrainer_{epochs}epochs").epochs == epochs
