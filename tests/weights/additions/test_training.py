"""Training of an addition: what learns, what is left at the end."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.save_interval import SaveInterval
from hermes_nnunet.networks.pool_rows import adapter_of, rows_of
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.weights.additions.base import read_fold
from hermes_nnunet.weights.additions.file import Addition


@pytest.fixture
def trainer(folders, extended, new_member):
    """A function that makes a trainer of the collection 901 as nnU-Net's command would; it is made when missing."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_addition import HermesTrainerAddition
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

    def make(word="305:T2", labels=("gallbladder",), epochs=2, iterations=2, fold=0, **changes):
        folder = folders / "preprocessed" / "Dataset901_More901"
        if not folder.is_dir():
            new_member(305, labels)
            extended(word)
            (folder / "gt_segmentations").mkdir()
            for file in (folders / "raw" / folder.name / "labelsTr").iterdir():
                (folder / "gt_segmentations" / file.name).write_bytes(file.read_bytes())
            plans = read_json(folder / "HermesPlans.json", "")
            manager = PlansManager(plans)
            content = read_json(folder / "dataset.json", "")
            for case in content["dataset"]:
                number = case.partition("__")[2]
                (folder / "HermesPlans_3d_fullres").mkdir(exist_ok=True)
                HermesPreprocessor(verbose=False).run_case_save(
                    str(folder / "HermesPlans_3d_fullres" / case),
                    [str(folders / "raw" / "Dataset305_New305" / "imagesTr" / f"{number}_0000.nii.gz")],
                    str(folder / "gt_segmentations" / f"{case}.nii.gz"),
                    manager,
                    manager.get_configuration("3d_fullres"),
                    content,
                )
        plans = read_json(folder / "HermesPlans.json", "")
        plans["hermes"].update(changes)
        plans["continue_training"] = False
        made = HermesTrainerAddition(
            plans, "3d_fullres", fold, read_json(folder / "dataset.json", ""), torch.device("cpu")
        )
        made.num_epochs, made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = epochs, iterations, 1
        return made

    return make


class TestStart:
    def test_computes_what_the_base_would_with_new_rows(self, trainer, base):
        """All but the rows of the member are the base's, and the adapters change nothing yet."""
        made = trainer("305:CT")
        made.initialize()
        state, of_base = made.bare_network.state_dict(), read_fold(base, 0).base
        for name, tensor in state.items():
            if adapter_of(name) is not None:
                assert "up" not in name or not tensor.any()
            elif rows_of(name) is None:
                assert torch.equal(tensor, of_base[name])
        pool = next(name for name in state if name.endswith("priors.modalities"))
        assert torch.equal(state[pool], of_base[pool][[0, 2]])  # CT, unknown

    def test_optimizer_has_what_learns_only(self, trainer):
        made = trainer("305:T2")
        made.initialize()
        learning = {id(p) for group in made.optimizer.param_groups for p in group["params"]}
        for name, parameter in made.bare_network.named_parameters():
            assert (id(parameter) in learning) == parameter.requires_grad
            assert parameter.requires_grad == (adapter_of(name) is not None or rows_of(name) is not None)

    def test_known_modality_is_frozen(self, trainer):
        made = trainer("305:CT")
        made.initialize()
        names = {n for n, p in made.bare_network.named_parameters() if p.requires_grad and adapter_of(n) is None}
        assert names
        assert all(name.endswith(("priors.tasks", "classifiers.weight", "classifiers.bias")) for name in names)

    def test_sees_the_images_as_the_base_does(self, base_in_lps, trainer):
        made = trainer("305:CT")
        made.initialize()
        seen, features = [], made.bare_network.features_and_posteriors
        made.bare_network.features_and_posteriors = lambda x, context: (seen.append(x), features(x, context))[1]
        images = torch.randn(2, 1, 16, 16, 16)
        target = [torch.zeros(2, 1, *([round(16 * scale[0])] * 3)) for scale in made.bare_network.supervision_scales]
        made.train_step({"data": images, "target": target, "keys": ["New305__c0", "New305__c1"]})
        assert torch.equal(seen[0], images.flip(3, 4))  # of (B, C, z, y, x): R is L, A is P


class TestFirstRows:
    @staticmethod
    def classifiers_of(made):
        return made.bare_network.decoder.heads[0].seg_layers["classifiers"].weight

    @staticmethod
    def priors_of(made):
        return next(p for name, p in made.bare_network.named_parameters() if name.endswith("priors.tasks"))

    def test_are_fitted_to_patches_of_the_training(self, trainer, base):
        made = trainer("305:CT", ("a", "b"))
        made.initialize()
        before = self.classifiers_of(made).clone()
        made.on_train_start()
        assert (self.classifiers_of(made) != before).any(dim=1).tolist() == [True, True, False]  # the null row stays
        rows = self.priors_of(made)
        assert torch.equal(rows[0], rows[1])
        log = Path(made.log_file).read_text()
        (chosen,) = (one.strip() for one in re.findall("prior tokens of the new tasks start as (.*)", log))
        of_base = read_fold(base, 0)
        if chosen in of_base.plans.tasks:
            expected = self.priors_of_base(of_base)[of_base.plans.tasks.index(chosen)]
        else:
            assert chosen == "the mean of all tasks"
            expected = self.priors_of_base(of_base)[:-1].mean(dim=0)
        assert torch.equal(rows[0], expected)

    def test_without_batches_are_the_mean_of_the_bases(self, trainer, base):
        made = trainer("305:CT")
        made.first_batches = 0
        made.initialize()
        before = self.classifiers_of(made).clone()
        made.fit_to_batches()
        assert torch.equal(self.classifiers_of(made), before)
        assert torch.equal(self.priors_of(made)[0], self.priors_of_base(read_fold(base, 0))[:-1].mean(dim=0))

    def test_are_drawn_for_networks_with_classifiers_only(self, trainer, monkeypatch):
        """The paper's have none."""
        made = trainer("305:CT")
        made.initialize()
        monkeypatch.setattr("hermes_nnunet.weights.additions.first_rows._heads_with_classifiers", lambda network: [])
        made.dataloader_train = iter([])
        made.fit_to_batches()

    @staticmethod
    def priors_of_base(of_base):
        return next(tensor for name, tensor in of_base.base.items() if name.endswith("priors.tasks"))

    def test_other_processes_take_those_of_the_first(self, trainer, monkeypatch):
        made = trainer("305:CT")
        made.initialize()
        before = self.classifiers_of(made).clone()
        made.local_rank = 1
        monkeypatch.setattr(
            "hermes_nnunet.weights.additions.first_rows.from_first_process",
            lambda rows: {name: values + 1 for name, values in rows.items()},
        )
        drawn = iter(range(100))
        made.dataloader_train = drawn
        made.fit_to_batches()
        # A loader's batches are drawn by all processes together.
        assert next(drawn) == made.first_batches
        assert torch.equal(self.classifiers_of(made), before + 1)


class TestInterruptedAtTheStart:
    """A signal, or the time for a checkpoint, comes before the first rows are fitted."""

    @staticmethod
    def begun(trainer):
        made = trainer("305:CT")
        torch.manual_seed(0)
        made.initialize()
        np.random.seed(0)
        return made

    def test_by_a_signal_loses_nothing(self, trainer, monkeypatch):
        whole = self.begun(trainer)
        whole.run_training()
        monkeypatch.setenv("HERMES_OVERWRITE", "1")
        stopped = self.begun(trainer)
        monkeypatch.setattr(stopped._workers, "look", lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit, match="143"):
            stopped.run_training()
        assert "prior tokens of the new tasks start as" in Path(stopped.log_file).read_text()
        again = trainer("305:CT")
        again.load_checkpoint(str(Path(stopped.output_folder) / "checkpoint_latest.pth"))
        again.run_training()
        expected = whole.bare_network.state_dict()
        for name, tensor in again.bare_network.state_dict().items():
            assert torch.equal(tensor, expected[name]), name

    def test_by_time_is_saved_when_they_are_fitted(self, trainer, monkeypatch):
        monkeypatch.setattr(SaveInterval, "is_over", True)
        made = self.begun(trainer)
        made.on_train_start()
        assert not list(Path(made.output_folder).glob("*.pth"))


def logits_of_noise(view):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(view), [0])
    torch.manual_seed(0)
    return predictor.predict_sliding_window_return_logits(torch.randn(1, 20, 20, 20))


class TestEnd:
    def test_everything_is_there(self, trainer, base, folders):
        made = trainer("305:T2", ("a", "b"))
        made.run_training()
        made.perform_actual_validation()
        fold = folders / "results" / "Dataset901_More901" / "HermesTrainerAddition__HermesPlans__3d_fullres" / "fold_0"
        addition = Addition.load(fold / "New305.hermes")
        assert addition.header.trained_on["cases"] == 3
        assert set(addition.header.dice) == {"New305/a", "New305/b"}
        assert addition.header.base.weights == read_fold(base, 0).base_hash
        grown = read_fold(folders / "results" / "Dataset901_More901" / base.name, 0)
        of_base = read_fold(base, 0)
        assert all(torch.equal(tensor, of_base.base[name]) for name, tensor in grown.base.items())
        trained = torch.load(fold / "checkpoint_final.pth", weights_only=False)["network_weights"]
        for name, tensor in addition.tensors.items():
            rows = slice(None) if adapter_of(name) is not None else slice(len(tensor))
            assert torch.equal(trained[name][rows], tensor), name
        moved = [name for name, tensor in addition.tensors.items() if name.endswith(".up") and tensor.any()]
        assert moved
        for data_set in ("Dataset011_abdomen", "Dataset012_brain", "Dataset305_New305"):
            assert (folders / "results" / data_set / base.name / "plans.json").is_file()
        views = [folders / "results" / "Dataset305_New305" / name for name in (base.name, fold.parent.name)]
        one, other = (logits_of_noise(view) for view in views)
        assert torch.equal(one, other)


class TestDiceToExpect:
    @pytest.fixture
    def validated(self, trainer):
        """A function that makes the trainer of a fold, trained and validated."""

        def make(fold):
            made = trainer("305:CT", epochs=1, iterations=1, fold=fold)
            made.first_batches = 0
            made.run_training()
            made.perform_actual_validation()
            return made

        return make

    @staticmethod
    def of(made):
        return Addition.load(Path(made.output_folder) / "New305.hermes").header.dice_of_cases

    def test_is_none_where_no_case_was_held_out(self, validated, base, folders):
        made = validated("all")
        assert (Path(made.output_folder) / "validation" / "summary.json").is_file()
        assert self.of(made) == {}
        assert read_model_folder(folders / "results" / "Dataset901_More901" / base.name).expected_dice == {}

    def test_stays_that_of_the_final_weights(self, validated):
        """Those of the best checkpoint, which has learned nothing, are validated after them."""
        made = validated(0)
        before = self.of(made)
        best = Path(made.output_folder) / "checkpoint_best.pth"
        content = torch.load(best, weights_only=False)
        for name, tensor in content["network_weights"].items():
            if name.endswith("classifiers.bias"):
                tensor.fill_(-100 if max(before["New305/gallbladder"]) else 100)
        torch.save(content, best)
        made.load_checkpoint(str(best))
        made.perform_actual_validation()
        validation = best.with_name("validation")
        assert read_json(validation / "summary.json", "")["hermes_checkpoint"] == best.name
        of_best = read_json(validation / "dice_by_member.json", "")["members"]["New305"]["mean"]
        assert [of_best] != before["New305/gallbladder"]
        assert self.of(made) == before
        assert read_model_folder(best.parent.parent).expected_dice == {}


class TestBadInput:
    def test_plans_without_base(self, trainer):
        trainer()
        with pytest.raises(HermesError, match=r"name no base .*hermes_nnunet extend"):
            trainer(additions=[])

    def test_base_that_is_not_there(self, trainer, base):
        trainer()
        base.rename(base.with_name("moved"))
        with pytest.raises(HermesError, match=r"the base .* is not there"):
            trainer()

    def test_base_with_other_weights(self, trainer, base):
        trainer()
        file = base / "fold_0" / "checkpoint_final.pth"
        checkpoint = torch.load(file, weights_only=True)
        checkpoint["network_weights"]["encoder.stem.convs.0.conv.weight"] += 1
        torch.save(checkpoint, file)
        with pytest.raises(HermesError, match=r"the weights of the base .* now, the collection was made for"):
            trainer()

    def test_other_weights_than_the_bases(self, trainer):
        """As those of -pretrained_weights, also of a training with them that is continued."""
        made = trainer("305:CT")
        made.initialize()
        with torch.no_grad():
            made.bare_network.get_parameter("encoder.stem.convs.0.conv.weight").add_(1)
        message = (
            r"encoder\.stem\.convs\.0\.conv\.weight of the network is not that of the base .*leave out -pretrained"
        )
        with pytest.raises(HermesError, match=message):
            made.on_train_start()
        latest = Path(made.output_folder) / "checkpoint_latest.pth"
        made.save_checkpoint(str(latest))
        again = trainer("305:CT")
        again.load_checkpoint(str(latest))
        with pytest.raises(HermesError, match=message):
            again.on_train_start()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c["configurations"]["3d_fullres"].update(spacing=[3.0, 3.0, 3.0]), "spacing is .*3.0.*1.5"),
            (
                lambda c: c["configurations"]["3d_fullres"].update(normalization_schemes=["NoNormalization"]),
                "normalization_",
            ),
            (lambda c: c.update(transpose_forward=[2, 1, 0]), r"transpose_forward is \[2, 1, 0\]"),
            (lambda c: c["hermes"]["intensity_clipping"].update(CT={"range": [-1.0, 1.0]}), "intensity_clipping of CT"),
        ],
    )
    def test_images_that_come_otherwise_than_the_bases(self, trainer, folders, change, message):
        """It would act in models with the base's plans."""
        trainer("305:CT")
        file = folders / "preprocessed" / "Dataset901_More901" / "HermesPlans.json"
        content = read_json(file, "")
        change(content)
        file.write_text(json.dumps(content))
        with pytest.raises(HermesError, match=rf"HermesPlans\.json of .*: {message}.* extend' again"):
            trainer("305:CT")

    def test_training_into_a_model_with_additions(self, trainer, base, folders):
        from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

        trainer()
        folder = folders / "results" / "Dataset901_More901" / base.name
        folder.mkdir(parents=True)
        (folder / "hermes_additions.json").write_text("{}")
        plans = read_json(folders / "preprocessed" / "Dataset901_More901" / "HermesPlans.json", "")
        content = read_json(folders / "preprocessed" / "Dataset901_More901" / "dataset.json", "")
        plans["continue_training"] = False
        with pytest.raises(HermesError, match="is a universal model with additions"):
            HermesTrainer(json.loads(json.dumps(plans)), "3d_fullres", 0, content, torch.device("cpu"))


def test_continued_training_keeps_the_base(trainer, base, folders):
    """Stopped after an epoch of two: rows of the base, and what is frozen, are those of the base at the end, too."""
    from hermes_nnunet.weights.additions.starting import check_unchanged

    stopped = trainer("305:CT")

    def stop():
        raise KeyboardInterrupt

    stopped.save_every = 1
    ended = type(stopped).on_epoch_end
    stopped.on_epoch_end = lambda: (ended(stopped), stop())
    with pytest.raises(KeyboardInterrupt):
        stopped.run_training()
    latest = folders / "results" / "Dataset901_More901" / "HermesTrainerAddition__HermesPlans__3d_fullres" / "fold_0"
    again = trainer("305:CT")
    again.load_checkpoint(str(latest / "checkpoint_latest.pth"))
    assert again.current_epoch == 1
    again.run_training()
    of_base = read_fold(base, 0)
    check_unchanged(again.bare_network.state_dict(), again.hermes_plans, of_base.base, of_base.plans)
    assert Addition.load(latest / "New305.hermes").header.dice == {}
