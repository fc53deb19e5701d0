"""Additions in a model: what is new works, what is old stays equal to the last bit."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from hermes_nnunet import HermesModel
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.learning.training.unknown_modality import SHARE_KEY
from hermes_nnunet.planning.modality.features import image_features
from hermes_nnunet.planning.modality.finder import ModalityFinder
from hermes_nnunet.planning.modality.fitting import MeasuredCase, fit
from hermes_nnunet.prediction import network_modality
from hermes_nnunet.prediction.modality_finding import is_to_find
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.views.write import write_views
from hermes_nnunet.weights.additions import adding
from hermes_nnunet.weights.additions.adding import add
from hermes_nnunet.weights.additions.base import read_fold
from hermes_nnunet.weights.additions.compose import spacing_by_configuration
from hermes_nnunet.weights.additions.file import Addition, AdditionBase
from hermes_nnunet.weights.additions.model_folder import restore_named
from hermes_nnunet.weights.additions.report import print_addition


@pytest.fixture
def results(folders):
    return folders / "results"


@pytest.fixture
def saved(addition, tmp_path):
    """A function that makes an addition and saves it; returns the path."""

    def make(word="305:T2", **options):
        made = addition(word, **options)
        path = tmp_path / f"{made.header.name}.hermes"
        made.save(path)
        return path

    return make


def logits(folder, member=None, fold=0, modality=None):
    """Logits of a noise image, through the context of a member, or of the whole model."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.networks.build import build_network, prediction_context

    model = read_model_folder(folder)
    manager = PlansManager(model.plans)
    network = build_network(manager, manager.get_configuration("3d_fullres"), 1, len(model.hermes_plans.tasks), False)
    weights = torch.load(folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=True)["network_weights"]
    network.load_state_dict(weights)
    if member is not None:
        plans = model.hermes_plans.of_member(member)
        network.set_context(prediction_context(network, plans, plans.context))
    torch.manual_seed(0)
    with torch.no_grad():
        return network.eval()(torch.randn(1, 1, 16, 16, 16))


def features_of(spacing, seed):
    """Of an image as those of `new_member`."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(20, 20, 20))
    image[7:11, 5:13, 5:13] += 3
    return image_features(image.T, (spacing,) * 3, "x")


class TestOldMembers:
    @pytest.mark.parametrize("member", ["abdomen", "brain"])
    def test_have_the_same_logits_with_one_addition_and_with_two(self, base, results, saved, member):
        before = logits(base, member)
        one = add([saved()], base, results=results, into=902).folder
        two = add([saved("306:CT", into=903)], one, results=results, into=904).folder
        assert torch.equal(logits(one, member), before)
        assert torch.equal(logits(two, member), before)
        assert before.abs().sum() > 0

    def test_are_kept_where_they_have_no_labels(self, base, results, saved, images):
        one = add([saved()], base, results=results, into=902).folder
        assert list(read_model_folder(one).collection.members) == ["abdomen", "brain", images, "New305"]
        add([], one, results=results, without=["New305"])
        collection = read_model_folder(one).collection
        assert list(collection.members) == ["abdomen", "brain", images]
        assert collection.labelled(["images__a"]) == []

    def test_have_them_beside_new_tasks(self, base, results, saved, monkeypatch):
        """In one prediction of everything."""
        monkeypatch.setenv("HERMES_ALL_MODALITIES", "1")
        before = logits(base)
        folder = add([saved(), saved("306:CT", labels=("a", "b"), into=903)], base, results=results, into=902).folder
        together = logits(folder)
        assert together.shape[1] == 7
        assert torch.equal(together[:, :4], before)
        assert (together > -99).all()


class TestModalityOfAnImage:
    """Which nobody names."""

    @pytest.fixture
    def base(self, base):
        """It knows what CT and T1 look like: coarser than the new member's images, and finer."""
        cases = [
            MeasuredCase(member, modality, f"{member}{seed}", features_of(spacing, seed))
            for member, modality, spacing in (("abdomen", "CT", 6.0), ("brain", "T1", 0.5))
            for seed in range(4)
        ]
        content = json.loads((base / "plans.json").read_text())
        content["hermes"]["modality_classifier"] = fit(cases).to_json()
        (base / "plans.json").write_text(json.dumps(content))
        return base

    def test_is_found_among_old_and_new(self, base, results, saved):
        path = saved()
        model = read_model_folder(add([path], base, results=results, into=902).folder)
        assert model.hermes_plans.can_find_modality
        finder = ModalityFinder.of_plans(model.hermes_plans, "plans")
        for modality, spacing in (("CT", 6.0), ("T1", 0.5), ("T2", 1.5)):
            found = finder.of_features(features_of(spacing, 9), "x")
            assert (found.modality, found.sure) == (modality, True)

    def test_decides_what_is_segmented(self, base, results, saved, folders):
        folder = add([saved()], base, results=results, into=902).folder
        image = folders / "raw" / "Dataset305_New305" / "imagesTr" / "c3_0000.nii.gz"
        model = HermesModel.load(folder, folds=[0], device="cpu")
        found = model.predict(image, everything=True)
        assert (found.found_modality.modality, found.found_modality.by) == ("T2", "image")
        assert [label.name for label in found.labels] == ["New305/gallbladder"]
        named = model.predict(image, everything=True, modality="T2")
        assert np.array_equal(found.array, named.array)

    def test_is_asked_of_the_bases_members_only_where_the_network_decides(self, base, results, saved):
        model = read_model_folder(add([saved("305:CT")], base, results=results, into=902).folder, [0])
        told = network_modality._told_unknown(HermesPredictor(model, "cpu"), "CT")
        assert [one.members for one in told] == [("abdomen",)]

    def test_is_not_shown_in_numbers_by_inspect(self, base, results, saved, capsys):
        from hermes_nnunet.cli.main import main

        folder = add([saved()], base, results=results, into=902).folder
        capsys.readouterr()
        assert main(["inspect", str(folder), "--json"]) == 0
        (addition,) = json.loads(capsys.readouterr().out)["additions"]
        assert (addition["member"], addition["new_modalities"]) == ("New305", ["T2"])
        assert "looks" not in addition

    def test_is_found_as_before_when_the_addition_is_taken_out(self, base, results, saved):
        before = json.loads((base / "plans.json").read_text())["hermes"]
        folder = add([saved()], base, results=results, into=902).folder
        assert len(ModalityFinder.of_plans(read_model_folder(folder).hermes_plans, "plans").added) == 1
        add([], folder, results=results, without=["New305"])
        assert json.loads((folder / "plans.json").read_text())["hermes"] == before

    def test_is_asked_for_where_an_older_addition_has_not_measured_it(self, base, results, saved, capsys):
        path = saved()
        addition = Addition.load(path)
        Addition(replace(addition.header, looks=None), addition.tensors).save(path)
        result = add([path], base, results=results, into=902)
        print_addition(result, Console())
        assert "addition New305 does not say what its images look like" in capsys.readouterr().out
        model = read_model_folder(result.folder)
        assert not model.hermes_plans.can_find_modality
        assert not is_to_find(model, [], None)
        with pytest.raises(HermesError, match="does not say what tells the modalities of all members apart"):
            is_to_find(model, [], "auto")

    @pytest.mark.parametrize("older", [0, 1])
    def test_does_not_part_the_folds_of_a_model(self, base, results, saved, tmp_path, older):
        """Of which an older release has made the addition of one."""
        path = saved()
        addition = Addition.load(path)
        files = []
        for fold in (0, 1):
            of_fold = replace(addition.header.base, weights=read_fold(base, fold).base_hash, fold=str(fold))
            looks = None if fold == older else addition.header.looks
            files.append(tmp_path / f"fold{fold}.hermes")
            Addition(replace(addition.header, base=of_fold, looks=looks), addition.tensors).save(files[-1])
        model = read_model_folder(add(files, base, results=results, into=902).folder)
        assert model.hermes_plans.can_find_modality
        assert [path.parent.name for path in model.checkpoints] == ["fold_0", "fold_1"]
        of_folds = [read_fold(model.path, fold) for fold in (0, 1)]
        assert all(own.plans.additions[0].looks is not None for own in of_folds)
        # A file that is taken out of the weights is what it was.
        assert [own.additions[0].header.looks is None for own in of_folds] == [older == 0, older == 1]


class TestNewMembers:
    def test_keep_the_voxel_order_that_they_were_trained_with(self, base_in_lps, results, saved):
        path = saved("305:CT")
        assert Addition.load(path).header.voxel_order == "LPS"
        folder = add([path], base_in_lps, results=results, into=902).folder
        plans = read_model_folder(folder).hermes_plans
        assert [plans.of_member(name).voxel_order for name in plans.members] == ["LPS", "RAS", "LPS"]
        assert read_model_folder(results / "Dataset305_New305" / folder.name).hermes_plans.voxel_order == "LPS"
        add([], folder, results=results, without=["New305"])
        assert read_model_folder(folder).hermes_plans.voxel_orders == {"abdomen": "LPS", "brain": "RAS"}

    def test_do_not_depend_on_other_additions(self, base, results, saved):
        first, second = saved(), saved("306:T2", into=903)
        alone = add([second], base, results=results, into=902).folder
        both = add([first, second], base, results=results, into=904).folder
        assert torch.equal(logits(alone, "New306"), logits(both, "New306"))

    def test_two_may_bring_one_modality(self, base, results, saved):
        folder = add([saved(), saved("306:T2", into=903)], base, results=results, into=902).folder
        model = read_model_folder(folder)
        assert model.hermes_plans.modalities == ("CT", "T1", "T2", "unknown")
        assert model.plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["num_modalities"] == 5

    def test_adapters_act(self, base, results, addition, tmp_path):
        made = addition()
        without = {name: 0 * t if ".adapters." in name else t for name, t in made.tensors.items()}
        paths = [tmp_path / name for name in ("with.hermes", "without.hermes")]
        made.save(paths[0])
        Addition(made.header, without).save(paths[1])
        folders = [add([path], base, results=results, into=902 + n).folder for n, path in enumerate(paths)]
        assert not torch.allclose(logits(folders[0], "New305"), logits(folders[1], "New305"))

    def test_have_label_values_behind_those_of_the_base(self, base, results, saved):
        folder = add([saved(labels=("a", "b"))], base, results=results, into=902).folder
        labels = read_json(folder / "dataset.json", "")["labels"]
        assert labels["brain/whole"] == [3, 4]
        assert (labels["New305/a"], labels["New305/b"]) == (5, 6)

    def test_get_views(self, base, results, saved):
        add([saved()], base, results=results, into=902)
        view = results / "Dataset305_New305" / base.name
        assert read_json(view / "dataset.json", "")["labels"] == {"background": 0, "gallbladder": 1}
        assert read_json(view / "plans.json", "")["hermes"]["context"]["modality"] == "T2"


def test_images_of_unknown_modality_stay_known(base, results, saved):
    """The network of the base was told "unknown" in training, which its checkpoints say."""
    for file in base.glob("fold_0/*.pth"):
        torch.save({**torch.load(file, weights_only=True), SHARE_KEY: 0.1}, file)
    shutil.rmtree(base / "fold_1")
    path = saved()
    apart = add([path], base, results=results, into=902).folder
    add([path], base, results=results)
    added = base / "fold_0" / "checkpoint_final.pth"
    assert [read_checkpoint(file)[SHARE_KEY] for file in (apart / "fold_0" / added.name, added)] == [0.1, 0.1]
    assert HermesPredictor(read_model_folder(apart), "cpu").knows_unknown
    add([], base, results=results, without=["New305"])
    assert read_checkpoint(added)[SHARE_KEY] == 0.1


class TestExpectedDice:
    def test_of_every_fold_comes_with_the_addition_into_model_and_view(self, base, results, addition, tmp_path):
        paths = []
        for fold, values in enumerate(([0.5, 0.7], [0.9])):
            shutil.rmtree(results.parent / "raw" / "Dataset305_New305", ignore_errors=True)
            made = addition(fold=fold, into=901 + fold).with_dice({"New305/gallbladder": values})
            paths.append(tmp_path / f"{fold}.hermes")
            made.save(paths[-1])
        assert Addition.load(paths[0]).header.dice == {"New305/gallbladder": pytest.approx(0.6)}
        expected = {"New305": {"New305/gallbladder": ExpectedDice(pytest.approx(0.7), pytest.approx(0.2), 3)}}
        assert read_model_folder(add(paths, base, results=results).folder).expected_dice == expected
        (view,) = results.glob("Dataset305_New305/Hermes*")
        assert read_model_folder(view).expected_dice == expected
        assert read_model_folder(base, [1]).expected_dice["New305"]["New305/gallbladder"] == ExpectedDice(0.9, None, 1)

    def test_of_an_addition_of_an_earlier_release_is_the_mean(self, base, results, addition, tmp_path):
        made = addition()
        replace(made, header=replace(made.header, dice={"New305/gallbladder": 0.5})).save(tmp_path / "a.hermes")
        folder = add([tmp_path / "a.hermes"], base, results=results, into=902).folder
        assert read_model_folder(folder).expected_dice == {
            "New305": {"New305/gallbladder": ExpectedDice(0.5, None, None)}
        }

    def test_of_the_base_is_that_of_the_base_it_has_now(self, base, results, saved):
        validation = base / "fold_0" / "validation" / "summary.json"
        metrics = {key: {"Dice": 0.5} for key in ("1", "2", "(3, 4)", "4")}
        entry = {"prediction_file": "abdomen__a.nii.gz", "metrics": metrics}
        validation.write_text(json.dumps({"metric_per_case": [entry]}))
        path = saved()
        composed = read_model_folder(add([path], base, results=results, into=902).folder)
        assert composed.expected_dice["abdomen"]["abdomen/liver"] == ExpectedDice(0.5, None, 1)
        validation.unlink()
        again = read_model_folder(add([path], base, results=results, into=902).folder)
        assert again.expected_dice == {}


def test_inspect_lists_them(base, results, saved, capsys):
    from hermes_nnunet.cli.main import main

    folder = add([saved()], base, results=results, into=902).folder
    assert main(["inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\nadditions *\n.*\nNew305 +4 +4 cases +T2 *\n", printed), printed


class TestInPlace:
    def test_takes_in_and_out(self, base, results, saved):
        folder = read_fold(base, 0)
        weights, plans = dict(folder.base), read_json(base / "plans.json", "")
        keep_fold(base, 0)
        write_views(base, results, [0])
        assert len(list(results.glob("Dataset01*/*/fold_0/checkpoint_best.pth"))) == 2
        result = add([saved()], base, results=results)
        assert (result.folder, result.additions) == (base, ("New305",))
        assert (base / "fold_0" / "training_log.txt").is_file()
        assert not (base / "fold_0" / "checkpoint_best.pth").exists()
        view = results / "Dataset305_New305" / base.name
        assert view.is_dir()
        assert not list(results.glob("Dataset01*/*/fold_0/checkpoint_best.pth"))
        add([], base, results=results, without=["New305"])
        after = read_fold(base, 0)
        assert read_json(base / "plans.json", "") == plans
        assert after.checkpoint["network_weights"].keys() == weights.keys()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in after.checkpoint["network_weights"].items())
        assert not view.exists()

    def test_once_more_writes_the_views_that_an_interrupted_run_has_not(self, base, results, saved):
        keep_fold(base, 0)
        path = saved()
        add([path], base, results=results)
        view = results / "Dataset305_New305" / base.name
        shutil.rmtree(view)
        checkpoint = base / "fold_0" / "checkpoint_final.pth"
        before = checkpoint.stat().st_ino, checkpoint.stat().st_mtime_ns
        result = add([path], base, results=results)
        assert (view / "plans.json").is_file()
        assert (result.additions, result.added) == (("New305",), ("New305",))
        assert (checkpoint.stat().st_ino, checkpoint.stat().st_mtime_ns) == before

    @pytest.mark.parametrize("by_id", [False, True])
    def test_goes_on_after_a_kill_between_its_two_renames(self, base, results, saved, by_id):
        from hermes_nnunet.cli.main import main

        keep_fold(base, 0)
        expected, file = logits(base), str(saved())
        aside = base.with_name(f".{base.name}.before")
        base.rename(aside)
        shutil.copytree(aside, aside.with_name(f"{aside.name}.new"))
        model = str(int(base.parent.name[7:10])) if by_id else str(base)
        trainer, plans, configuration = base.name.split("__")
        assert main(["add", file, "-m", model, "-tr", trainer, "-p", plans, "-c", configuration]) == 0
        assert torch.equal(logits(base)[:, : expected.shape[1]], expected)
        assert [path.name for path in base.parent.iterdir() if path.is_dir()] == [base.name]

    @pytest.mark.parametrize("model", [".", "/", "../x"])
    def test_leaves_alone_what_was_not_cut_short(self, base, results, model, monkeypatch):
        monkeypatch.chdir(base)
        before = sorted(results.rglob("*"))
        restore_named(model, results)
        assert sorted(results.rglob("*")) == before

    def test_taking_out_once_more_writes_the_views_that_an_interrupted_run_has_not(
        self, base, results, saved, monkeypatch
    ):
        keep_fold(base, 0)
        path = saved()
        add([path], base, results=results)

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(adding, "write_views", interrupted)
            with pytest.raises(KeyboardInterrupt):
                add([], base, results=results, without=["New305"])
        (results / "Dataset011_abdomen" / base.name / "plans.json").unlink()
        result = add([], base, results=results, without=["New305"])
        assert (result.additions, result.added) == ((), ())
        assert (results / "Dataset011_abdomen" / base.name / "plans.json").is_file()
        # It is known as long as it is out.
        add([path], base, results=results)
        add([], base, results=results, without=["New305"])
        with pytest.raises(HermesError, match="has no addition 'New306'"):
            add([], base, results=results, without=["New306"])

    def test_of_other_weights_under_a_name_that_is_there_is_refused(self, base, results, saved):
        keep_fold(base, 0)
        path = saved()
        add([path], base, results=results)
        other = Addition.load(path)
        name = next(iter(other.tensors))
        Addition(other.header, {**other.tensors, name: other.tensors[name] + 1}).save(path)
        with pytest.raises(HermesError, match="already has a member 'New305'"):
            add([path], base, results=results)

    def test_wants_an_addition_for_every_fold(self, base, results, saved):
        with pytest.raises(HermesError, match=r"also has weights of fold 1, .*--into"):
            add([saved()], base, results=results)

    def test_does_not_take_the_weights_of_an_unfinished_fold(self, base, results, saved):
        path = saved()
        (base / "fold_1" / "checkpoint_final.pth").rename(base / "fold_1" / "checkpoint_latest.pth")
        with pytest.raises(HermesError, match="also has weights of fold 1"):
            add([path], base, results=results)

    def test_of_every_fold(self, base, results, saved, addition, tmp_path):
        paths = [saved()]
        made = addition("306:T2", into=903, fold=1)
        # The same member for the other fold.
        first = Addition.load(paths[0])
        header = type(first.header)(**{**vars(first.header), "base": made.header.base})
        Addition(header, first.tensors).save(tmp_path / "other.hermes")
        result = add([*paths, tmp_path / "other.hermes"], base, results=results)
        assert result.folds == ("0", "1")
        assert all((base / f"fold_{fold}" / "checkpoint_final.pth").is_file() for fold in (0, 1))

    def test_of_every_fold_in_another_order_for_each(self, base, results, saved, tmp_path):
        paths = [saved("305:T2"), saved("306:T2", into=902)]
        others = []
        for path in paths:
            made = Addition.load(path)
            others.append(tmp_path / f"other_{path.name}")
            Addition(replace(made.header, base=read_base(base, 1)), made.tensors).save(others[-1])
        result = add([*paths, *reversed(others)], base, results=results)
        assert result.additions == ("New305", "New306")
        for fold in ("0", "1"):
            assert [own.header.name for own in read_fold(base, fold).additions] == ["New305", "New306"]


class TestOtherFolds:
    """Of a model that is there already: of as many tasks, so that their weights would load."""

    def test_of_other_additions_are_refused(self, base, results, saved):
        path = saved("306:T2", into=903, fold=1)
        add([path], base, results=results, into=902)
        other = saved("305:T2")
        folder = results / "Dataset902_Both" / base.name
        before = sorted(folder.rglob("*")), (folder / "plans.json").read_text()
        with pytest.raises(HermesError, match=r"fold_1.* has the additions New306, its plans have New305 now: delete"):
            add([other], base, results=results, into=902)
        assert (sorted(folder.rglob("*")), (folder / "plans.json").read_text()) == before

    def test_of_the_same_additions_stay(self, base, results, saved):
        path = saved()
        add([path], base, results=results, into=902)
        made = Addition.load(path)
        Addition(replace(made.header, base=read_base(base, 1)), made.tensors).save(path)
        result = add([path], base, results=results, into=902)
        assert result.folds == ("1",)
        assert {fold.name for fold in result.folder.glob("fold_*")} == {"fold_0", "fold_1"}


def read_base(folder, fold):
    """What a header says of a fold of a base."""
    base = read_fold(folder, fold)
    spacing = spacing_by_configuration(base.model.plans)
    return AdditionBase(base.base_hash, "Dataset900_Both", folder.name, str(fold), spacing, {})


def keep_fold(base, fold):
    """Remove the other folds."""
    for path in base.glob("fold_*"):
        if path.name != f"fold_{fold}":
            shutil.rmtree(path)


class TestBadInput:
    def test_addition_of_another_base(self, base, results, saved, addition, tmp_path):
        path = saved()
        for fold in (0, 1):
            file = base / f"fold_{fold}" / "checkpoint_final.pth"
            checkpoint = torch.load(file, weights_only=True)
            checkpoint["network_weights"]["encoder.stem.convs.0.conv.weight"] += 1
            torch.save(checkpoint, file)
        wanted = Addition.load(path).header.base.weights[:12]
        with pytest.raises(HermesError, match=rf"is for the weights {wanted} \(Dataset900_Both, .*fold 0\)"):
            add([path], base, results=results, into=902)
        assert not list(results.glob("Dataset902*"))

    def test_twice(self, base, results, saved):
        path = saved()
        with pytest.raises(HermesError, match="already has a member 'New305'"):
            add([path, path], base, results=results, into=902)

    def test_task_that_the_base_has(self, base, results, addition, tmp_path):
        made = addition()
        (task,) = made.header.tasks
        header = replace(
            made.header,
            tasks=(replace(task, name="abdomen/liver"),),
            member=replace(made.header.member, tasks=("abdomen/liver",)),
        )
        Addition(header, made.tensors).save(tmp_path / "a.hermes")
        with pytest.raises(HermesError, match="has the task 'abdomen/liver', which the base has too"):
            add([tmp_path / "a.hermes"], base, results=results, into=902)

    def test_known_modality_under_another_rule(self, base, results, addition, tmp_path):
        made = addition("305:CT")
        header = replace(made.header, intensity_clipping={"CT": {"range": [0, 1]}})
        Addition(header, made.tensors).save(tmp_path / "a.hermes")
        with pytest.raises(HermesError, match=r"on CT with the intensity rule .*, the base has"):
            add([tmp_path / "a.hermes"], base, results=results, into=902)

    def test_new_modality_under_two_rules(self, base, results, saved, addition, tmp_path):
        first, made = saved("305:T2"), addition("306:T2", into=902)
        header = replace(made.header, intensity_clipping={"T2": {"range": [0, 1]}})
        Addition(header, made.tensors).save(tmp_path / "b.hermes")
        with pytest.raises(HermesError, match=r"New306 was trained on T2 with .*, addition New305 has"):
            add([first, tmp_path / "b.hermes"], base, results=results, into=904)

    def test_task_of_two_additions(self, base, results, saved, addition, tmp_path):
        first, made = saved("305:T2"), addition("306:T2", into=902)
        (task,) = Addition.load(first).header.tasks
        header = replace(made.header, tasks=(task,), member=replace(made.header.member, tasks=(task.name,)))
        Addition(header, made.tensors).save(tmp_path / "b.hermes")
        with pytest.raises(HermesError, match=rf"New306 has the task '{task.name}', which addition New305 has too"):
            add([first, tmp_path / "b.hermes"], base, results=results, into=904)

    @pytest.mark.parametrize("change", ["shape", "missing", "surplus"])
    def test_tensors(self, base, results, addition, tmp_path, change):
        made = addition()
        tensors = dict(made.tensors)
        name = next(name for name in tensors if name.endswith("priors.tasks"))
        if change == "shape":
            tensors[name] = torch.zeros(3, 3)
        elif change == "missing":
            del tensors[name]
        else:
            tensors[name := "other"] = torch.zeros(1)
        Addition(made.header, tensors).save(tmp_path / "a.hermes")
        with pytest.raises(HermesError, match=f"addition New305 .*{name}"):
            add([tmp_path / "a.hermes"], base, results=results, into=902)

    def test_without_what_is_not_there(self, base, results):
        with pytest.raises(HermesError, match="has no addition 'x'"):
            add([], base, results=results, without=["x"])

    def test_nothing_to_do(self, base, results):
        with pytest.raises(UsageError, match="nothing to do"):
            add([], base, results=results)

    def test_id_of_another_data_set(self, base, results, saved):
        (results / "Dataset902_Other").mkdir()
        with pytest.raises(HermesError, match="has this id"):
            add([saved()], base, results=results, into=902, name="New")

    def test_trained_model_in_the_way(self, base, results, saved):
        taken = results / "Dataset902_Both" / base.name
        taken.mkdir(parents=True)
        (taken / "plans.json").write_text("{}")
        with pytest.raises(HermesError, match="is a model that was trained"):
            add([saved()], base, results=results, into=902)
