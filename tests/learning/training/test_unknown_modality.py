"""Patches that are told to be of unknown modality."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.unknown_modality import ToldUnknown, cases_of, told_unknown, with_told
from hermes_nnunet.networks.context_batch import ContextIndexer
from hermes_nnunet.plans import HermesPlans


class Dataset:
    """Loads the name of its folder and that of the case."""

    def __init__(self, folder, identifiers):
        self.folder, self.identifiers = folder, identifiers

    def load_case(self, identifier):
        assert identifier in self.identifiers
        return self.folder, identifier


CASES = ["abdomen__a", "abdomen__b", "brain__x"]


class TestToldUnknown:
    @pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
    def test_a_share_of_the_identifiers_of_each_case_is_told_so(self, share):
        told = ToldUnknown(Dataset("own", np.repeat(CASES, 50)), share, None, [])
        for case in CASES:
            own, unknown = (np.sum(told.identifiers == name) for name in (case, f"{case}/unknown"))
            assert unknown / (own + unknown) == pytest.approx(share, abs=0.005)

    def test_loads_the_copy_of_a_case_that_has_one(self):
        told = ToldUnknown(Dataset("own", np.repeat(CASES, 50)), 0.1, Dataset("copies", CASES[:2]), CASES[:2])
        assert told.load_case("abdomen__a") == ("own", "abdomen__a")
        assert told.load_case("abdomen__a/unknown") == ("copies", "abdomen__a")
        assert told.load_case("brain__x/unknown") == ("own", "brain__x")

    def test_without_a_share_nothing_changes(self, tmp_path, collection, plans):
        dataset = Dataset("own", CASES)
        assert told_unknown(dataset, 0.0, tmp_path, collection, HermesPlans.from_plans(plans)) is dataset

    @pytest.mark.parametrize("share", [1.0, -0.1])
    def test_a_share_is_one(self, tmp_path, collection, plans, share):
        with pytest.raises(HermesError, match=f"unknown_modality_share is {share}: it is a share of the patches"):
            told_unknown(Dataset("own", CASES), share, tmp_path, collection, HermesPlans.from_plans(plans))

    def test_missing_copies_are_named_with_what_to_do(self, tmp_path, collection, plans):
        with pytest.raises(HermesError, match=r'lacks abdomen__a .*: set "unknown_copies": true in the hermes block'):
            told_unknown(Dataset("own", CASES), 0.05, tmp_path / "x", collection, HermesPlans.from_plans(plans))


class TestContexts:
    def test_the_network_is_told_unknown_and_the_loss_the_truth(self, collection):
        indexer = ContextIndexer(collection.task_names, collection.modalities)
        keys = np.array(["abdomen__a/unknown", "brain__x", "abdomen__b"])
        cases = cases_of(keys)
        assert cases == ["abdomen__a", "brain__x", "abdomen__b"]
        contexts = with_told(indexer([collection.context_of(case) for case in cases]), keys, 2)
        assert contexts.modality_index.tolist() == [2, 1, 0]
        assert contexts.true_modality.tolist() == [0, 1, 0]

    def test_a_batch_without_such_patches_is_as_it_was(self, collection):
        contexts = ContextIndexer(collection.task_names, collection.modalities)([collection.context_of("brain__x")])
        assert with_told(contexts, ["brain__x"], 2) is contexts


class TestTraining:
    def copies(self, preprocessed, plans, dataset_json, tmp_path):
        """Preprocess all cases again with the copies."""
        import json
        import shutil

        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

        block = HermesPlans.from_plans(plans)
        plans["hermes"] = replace(block, unknown_copies=True).to_block()
        manager = PlansManager(plans)
        configuration = manager.get_configuration("3d_fullres")
        data = preprocessed / configuration.data_identifier
        cases = [path.stem for path in data.glob("*.pkl")]
        shutil.rmtree(data)
        data.mkdir()
        for case in cases:
            shutil.copy(tmp_path / "image.nii.gz", tmp_path / f"{case}.nii.gz")
            HermesPreprocessor(verbose=False).run_case_save(
                str(data / case),
                [str(tmp_path / f"{case}.nii.gz")],
                str(preprocessed / "gt_segmentations" / f"{case}.nii.gz"),
                manager,
                configuration,
                dataset_json,
            )
        (preprocessed / f"{plans['plans_name']}.json").write_text(json.dumps(plans))
        return data

    def test_a_training_tells_a_share_and_keeps_the_modality_loss(
        self, make_trainer, preprocessed, plans, dataset_json, tmp_path, monkeypatch
    ):
        from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

        data = self.copies(preprocessed, plans, dataset_json, tmp_path)
        copies = data.with_name(data.name + "_unknown")
        assert sorted(path.stem for path in copies.glob("*.pkl")) == ["abdomen__a", "abdomen__b", "abdomen__c"]
        monkeypatch.setattr(HermesTrainer, "unknown_modality_share", 0.5)
        trainer = make_trainer()
        trainer.initialize()
        train, validation = trainer.get_tr_and_val_datasets()
        own, unknown = (train.load_case(f"abdomen__a{mark}")[0][:] for mark in ("", "/unknown"))
        # The rule of CTs clips at -991, that of others at percentiles: same voxels otherwise.
        assert own.shape == unknown.shape
        assert not np.allclose(own, unknown)
        assert not any("/" in name for name in validation.identifiers)
        assert trainer.checkpoint()["hermes_unknown_modality_share"] == 0.5
        told = []
        trainer.bare_network.register_forward_pre_hook(lambda network, _: told.append(network.context))
        trainer.on_train_start()
        for _ in range(4):
            loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
            assert np.isfinite(loss)
        rows = torch.cat([context.modality_index for context in told])
        assert {2} < set(rows.tolist())
        assert all(context.true_modality is None or 2 not in context.true_modality for context in told)
        trainer.on_train_end()
