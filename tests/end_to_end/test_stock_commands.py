"""Merge, plan, train, validate, predict, export: nnU-Net's own commands on a collection and its views."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

pytestmark = pytest.mark.end_to_end


def values_of(segmentation):
    return set(np.unique(np.asarray(segmentation.dataobj)).tolist())


def reoriented(image, axes):
    """The same image in space, stored along other axes."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(axes)))


def own_values(workplace, number):
    labels = json.loads((workplace.raw / workplace.dataset(number) / "dataset.json").read_text())["labels"]
    return set(labels.values())


def with_random_weights(fold):
    """A checkpoint beside the trained one: after so few batches that one may leave an image empty.

    Its logits vary around 0, so that some voxels belong to a task: a task's weights of the normed features add up to 0.
    """
    content = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    torch.manual_seed(0)
    for name, weights in content["network_weights"].items():
        if name.endswith(("classifiers.bias", "refine.project.weight", "refine.project.bias")):
            weights.zero_()
        elif weights.ndim > 1:
            weights.copy_(torch.randn(weights.shape) / weights[0].numel() ** 0.5)
        if name.endswith("classifiers.weight"):
            weights -= weights.mean(dim=1, keepdim=True)
    torch.save(content, fold / "checkpoint_random.pth")
    return fold / "checkpoint_random.pth"


class TestPlanning:
    def test_plans_describe_network_and_context(self, planned):
        folder = planned.root / "preprocessed" / planned.dataset(planned.collection)
        plans = json.loads((folder / f"{planned.plans}.json").read_text())
        assert plans["configurations"]["3d_fullres"]["spacing"] == [3, 3, 3]
        assert len(plans["hermes"]["members"]) == 4
        assert plans["hermes"]["modalities"][-1] == "unknown"

    def test_every_case_is_preprocessed_at_the_target_spacing(self, planned):
        folder = planned.root / "preprocessed" / planned.dataset(planned.collection)
        cases = json.loads((folder / "dataset.json").read_text())["hermes"]["cases"]
        assert {path.stem for path in (folder / f"{planned.plans}_3d_fullres").glob("*.pkl")} == set(cases)


class TestTraining:
    def test_the_log_has_the_pseudo_dice_of_every_member_each_epoch(self, trained):
        log = (trained.root / "train.log").read_text()
        for number in trained.members:
            name = trained.dataset(number).split("_", 1)[1]
            assert log.count(f" {name}: ") >= 2

    def test_validation_segments_each_case_with_its_members_tasks_only(self, trained):
        model = trained.model(trained.collection)
        block = json.loads((model / "dataset.json").read_text())["hermes"]
        values = {task["name"]: set(task["values"]) for task in block["tasks"]}
        segmentations = sorted((model / "fold_0/validation").glob("*.nii.gz"))
        assert len(segmentations) == 2 * len(trained.members)
        for path in segmentations:
            tasks = block["members"][block["cases"][path.name.removesuffix(".nii.gz")]["member"]]["tasks"]
            assert values_of(nibabel.load(path)) <= {0}.union(*(values[task] for task in tasks))

    def test_validation_leaves_nnunets_summary_and_dice_by_member(self, trained):
        validation = trained.model(trained.collection) / "fold_0/validation"
        summary = json.loads((validation / "summary.json").read_text())
        assert len(summary["metric_per_case"]) == 2 * len(trained.members)
        dice = json.loads((validation / "dice_by_member.json").read_text())
        assert {entry["cases"] for entry in dice["members"].values()} == {2}
        assert len(list(validation.glob("*.npz"))) == 2 * len(trained.members)

    def test_pretrained_weights_and_validation_of_the_best_checkpoint_work(self, trained):
        checkpoint = trained.model(trained.collection) / "fold_0/checkpoint_final.pth"
        dice = trained.model(trained.collection) / "fold_0/validation/dice_by_member.json"
        dice.unlink()
        trained.train("--val", "--val_best")
        assert dice.is_file()
        log = trained.train("-pretrained_weights", checkpoint, "--disable_checkpointing", trainer="HermesTrainerOnce")
        assert "Loading pretrained weights" in log
        assert not list(trained.model(trained.collection, "HermesTrainerOnce").rglob("*.pth"))


class TestViews:
    @pytest.mark.parametrize("position", [0, 2])
    def test_predictions_have_the_members_values_and_the_inputs_geometry(self, trained, image_of, tmp_path, position):
        number = list(trained.members)[position]
        images = image_of(number)
        (segmentation,) = trained.predict(number, images, tmp_path / "out").values()
        image = nibabel.load(next(images.iterdir()))
        assert values_of(segmentation) <= own_values(trained, number)
        assert segmentation.shape == image.shape
        np.testing.assert_allclose(segmentation.affine, image.affine, atol=1e-4)

    def test_left_and_right_stay_whatever_the_orientation_of_the_input(self, trained, image_of, tmp_path):
        number = next(iter(trained.members))
        folder = image_of(number)
        file = next(folder.iterdir())
        image = nibabel.load(file)
        for axes in ("RAS", "LPI", "SLA"):
            nibabel.save(reoriented(image, axes), folder / f"{axes}_0000.nii.gz")
        file.unlink()
        checkpoint = with_random_weights(trained.model(number) / "fold_0")
        segmentations = trained.predict(number, folder, tmp_path / "out", "-chk", checkpoint.name)
        checkpoint.unlink()
        first = np.asarray(reoriented(segmentations["RAS.nii.gz"], "RAS").dataobj)
        assert len(np.unique(first)) > 1, "an empty segmentation would prove nothing"
        for axes in ("LPI", "SLA"):
            segmentation = segmentations[f"{axes}.nii.gz"]
            assert nibabel.aff2axcodes(segmentation.affine) == tuple(axes)
            assert np.array_equal(np.asarray(reoriented(segmentation, "RAS").dataobj), first)

    def test_an_exported_view_predicts_the_same_elsewhere(self, trained, new_workplace, image_of, tmp_path):
        number = next(iter(trained.members))
        images = image_of(number)
        here = trained.predict(number, images, tmp_path / "here")
        arguments = ("-d", number, "-c", "3d_fullres", "-tr", trained.trainer, "-p", trained.plans, "-f", 0)
        archive = tmp_path / "view.zip"
        trained.run("nnUNetv2_export_model_to_zip", *arguments, "-o", archive)
        elsewhere = new_workplace()
        elsewhere.run("nnUNetv2_install_pretrained_model_from_zip", archive)
        there = elsewhere.predict(number, images, tmp_path / "there")
        for name, segmentation in here.items():
            assert np.array_equal(np.asarray(segmentation.dataobj), np.asarray(there[name].dataobj))

    def test_views_are_made_again_by_command_and_foreign_folders_stay(self, trained):
        first, second = list(trained.members)[:2]
        shutil.rmtree(trained.model(first))
        marker = trained.model(second) / "hermes_view.json"
        content = marker.read_text()
        marker.unlink()
        arguments = (trained.collection, "3d_fullres", "-tr", trained.trainer, "-p", trained.plans)
        printed = trained.run("hermes_nnunet", "views", *arguments, fails=True)
        assert "was not made by Hermes and is left alone" in printed
        assert (trained.model(first) / "fold_0/checkpoint_final.pth").is_file()
        marker.write_text(content)
        trained.run("hermes_nnunet", "views", *arguments)


class TestUniversalModel:
    def test_predicts_every_task_and_heeds_the_modality(self, trained, image_of, tmp_path):
        number = next(iter(trained.members))
        images = image_of(number)
        checkpoint = with_random_weights(trained.model(trained.collection) / "fold_0")
        arguments = ("-chk", checkpoint.name)
        not_told = {"HERMES_MODALITY": "unknown"}
        (unknown,) = trained.predict(trained.collection, images, tmp_path / "unknown", *arguments, **not_told).values()
        (found,) = trained.predict(trained.collection, images, tmp_path / "found", *arguments).values()
        modality = {"HERMES_MODALITY": trained.members[number]}
        (told,) = trained.predict(trained.collection, images, tmp_path / "told", *arguments, **modality).values()
        checkpoint.unlink()
        dataset = json.loads((trained.model(trained.collection) / "dataset.json").read_text())
        labels, members = dataset["labels"], dataset["hermes"]["members"].values()
        seen = {task for member in members if trained.members[number] in member["channels"] for task in member["tasks"]}
        assert values_of(unknown) <= set(labels.values())
        assert values_of(told) <= {0} | {labels[task] for task in seen}
        assert len(values_of(told)) > 2
        assert (tmp_path / "told.log").read_text().count("Tasks left out, since no") == 1
        assert not np.array_equal(np.asarray(unknown.dataobj), np.asarray(told.dataobj))
        assert np.array_equal(np.asarray(found.dataobj), np.asarray(told.dataobj))
        assert f": {trained.members[number]} (" in (tmp_path / "found.log").read_text()
        notice = "The modality of each image is found by its looks"
        assert (tmp_path / "found.log").read_text().count(notice) == 1
        assert notice not in (tmp_path / "told.log").read_text()

    def test_an_unknown_modality_is_refused_with_the_known(self, trained, image_of, tmp_path):
        images = image_of(next(iter(trained.members)))
        with pytest.raises(AssertionError, match="HERMES_MODALITY=MRT is not a modality of this model: choose one of"):
            trained.predict(trained.collection, images, tmp_path / "out", HERMES_MODALITY="MRT")


class TestFoldOfAll:
    def test_is_trained_on_all_cases_and_its_view_predicts(self, trained, image_of, tmp_path):
        trainer = "HermesTrainerOnce"
        model = ("-tr", trainer, "-p", trained.plans)
        trained.run("nnUNetv2_train", trained.collection, "3d_fullres", "all", *model, "-device", "cpu")
        validation = trained.model(trained.collection, trainer) / "fold_all" / "validation"
        assert len(list(validation.glob("*.nii.gz"))) == 4 * len(trained.members)
        number = next(iter(trained.members))
        images = image_of(number)
        places = ("-i", images, "-o", tmp_path / "out", "-f", "all", "-device", "cpu")
        trained.run("nnUNetv2_predict", "-d", number, "-c", "3d_fullres", *model, *places, "-npp", 1, "-nps", 1)
        (segmentation,) = (tmp_path / "out").glob("*.nii.gz")
        assert values_of(nibabel.load(segmentation)) <= own_values(trained, number)
        name = trained.dataset(number).partition("_")[2]
        ours = ("-m", trained.collection, *model, "--member", name, "-f", "all", "-device", "cpu")
        trained.run("hermes_nnunet", "predict", "-i", images, "-o", tmp_path / "ours", *ours)
        # It has seen all cases, so there is no Dice to expect.
        labels = json.loads((tmp_path / "ours" / "labels.json").read_text())["labels"]
        assert [label["name"].partition("/")[0] for label in labels] == [name] * len(labels)
        assert not any("expected_dice" in label for label in labels)
        files = (segmentation, tmp_path / "ours" / segmentation.name)
        one, other = (np.asarray(nibabel.load(file).dataobj) for file in files)
        assert np.array_equal(one, other)


class TestOtherTools:
    def test_postprocessing_takes_what_a_view_predicts(self, trained, image_of, tmp_path):
        number = next(iter(trained.members))
        trained.predict(number, image_of(number), tmp_path / "out")
        files = ("-plans_json", tmp_path / "out/plans.json", "-dataset_json", tmp_path / "out/dataset.json", "-np", 1)
        (segmentation,) = (tmp_path / "out").glob("*.nii.gz")
        reference = tmp_path / "reference"
        reference.mkdir()
        shutil.copy(segmentation, reference)
        trained.run("nnUNetv2_determine_postprocessing", "-i", tmp_path / "out", "-ref", reference, *files)
        determined = tmp_path / "out" / "postprocessing.pkl"
        trained.run(
            "nnUNetv2_apply_postprocessing", "-i", tmp_path / "out", "-o", tmp_path / "done",
            "-pp_pkl_file", determined, *files,
        )  # fmt: skip
        done, before = (nibabel.load(folder / segmentation.name) for folder in (tmp_path / "done", reference))
        assert np.array_equal(np.asarray(done.dataobj), np.asarray(before.dataobj))
        np.testing.assert_allclose(done.affine, before.affine, atol=1e-4)

    def test_evaluation_and_cross_validation_tools_work_on_the_collection(self, trained, tmp_path):
        folder = trained.root / "preprocessed" / trained.dataset(trained.collection)
        model = trained.model(trained.collection)
        summary = tmp_path / "summary.json"
        trained.run(
            "nnUNetv2_evaluate_folder",
            folder / "gt_segmentations",
            model / "fold_0/validation",
            *("-djfile", model / "dataset.json", "-pfile", model / "plans.json", "-o", summary, "-np", 1, "--chill"),
        )
        left = json.loads((model / "fold_0/validation/summary.json").read_text())
        assert json.loads(summary.read_text())["mean"].keys() == left["mean"].keys()
        arguments = ("-c", "3d_fullres", "-tr", trained.trainer, "-p", trained.plans, "-f", 0)
        trained.run(
            "nnUNetv2_find_best_configuration", trained.collection, *arguments, "--disable_ensembling", "-np", 1
        )
        assert (model / "crossval_results_folds_0/summary.json").is_file()
        assert (model / "crossval_results_folds_0/postprocessing.pkl").is_file()
