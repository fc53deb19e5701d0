import json
import math
import os
import time

import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.modality.classifier import ModalityClassifier
from hermes_nnunet.planning.modality.finder import ModalityFinder
from hermes_nnunet.planning.resampling.images import resample_linear
from hermes_nnunet.planning.resampling.logits import resample_logits_by_task
from hermes_nnunet.plans import HermesPlans


class TestConfiguration:
    def test_3d_fullres_is_isotropic_z_scored_and_not_transposed(self, planned):
        plans = planned("HermesPlanner")
        assert list(plans["configurations"]) == ["3d_fullres"]
        configuration = plans["configurations"]["3d_fullres"]
        assert configuration["spacing"] == [1.5, 1.5, 1.5]
        assert configuration["normalization_schemes"] == ["ZScoreNormalization"]
        assert plans["transpose_forward"] == plans["transpose_backward"] == [0, 1, 2]
        assert configuration["preprocessor_name"] == "HermesPreprocessor"
        assert plans["label_manager"] == "HermesLabelManager"
        assert configuration["architecture"]["network_class_name"] == "hermes_nnunet.networks.hermes_unet.HermesUNet"

    def test_the_target_spacing_can_be_overwritten(self, planned):
        plans = planned("HermesPlanner", overwrite_target_spacing=[3.0, 2.0, 2.0])
        assert plans["configurations"]["3d_fullres"]["spacing"] == [3, 2, 2]

    @pytest.mark.parametrize(
        ("planner", "beside"), [("HermesPlannerS", math.log(0.7366 / 0.2634)), ("HermesPlannerPaperR", 1.0)]
    )
    def test_resampling_functions_are_found_by_nnunet(self, planned, planner, beside):
        plans = planned(planner)
        configuration = PlansManager(plans).get_configuration("3d_fullres")
        assert configuration.resampling_fn_data.func is resample_linear
        assert configuration.resampling_fn_seg.func is resample_linear
        assert configuration.resampling_fn_probabilities.func is resample_logits_by_task
        logits = np.full((2, 4, 4, 4), -8, np.float16)
        logits[:, 2] = 4
        resampled = configuration.resampling_fn_probabilities(logits, [8, 8, 8], [1.5] * 3, [0.75] * 3)
        assert resampled.shape == (2, 8, 8, 8)
        # a quarter of the way to the next voxel
        assert resampled.whole(0)[4, 4, 4] == pytest.approx(beside, abs=1e-3)

    def test_a_wrong_target_spacing_is_refused(self, planned):
        with pytest.raises(HermesError, match=r"-overwrite_target_spacing \[3\.0, 2\.0\]: give three positive numbers"):
            planned("HermesPlanner", overwrite_target_spacing=[3.0, 2.0])

    @pytest.mark.parametrize(
        ("planner", "name"),
        [
            ("HermesPlannerS", "HermesSPlans"),
            ("HermesPlanner", "HermesPlans"),
            ("HermesPlannerL", "HermesLPlans"),
            ("HermesPlannerXL", "HermesXLPlans"),
        ],
    )
    def test_every_planner_has_plans_and_preprocessed_data_of_its_own(self, planned, planner, name):
        plans = planned(planner)
        assert plans["plans_name"] == name
        assert plans["configurations"]["3d_fullres"]["data_identifier"] == f"{name}_3d_fullres"

    def test_everything_of_the_context_is_in_the_plans(self, planned, collection):
        plans = planned("HermesPlanner")
        assert plans["hermes"]["tasks"] == list(collection.task_names)
        assert plans["hermes"]["context"]["modality"] == "unknown"
        assert plans["hermes"]["intensity_clipping"] == {
            "CT": {"range": [-80, 240], "mean": 80, "std": 160},  # what is labelled
            "default": {"percentiles": [2, 98]},
        }
        arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        assert (arguments["num_modalities"], arguments["tokens_per_modality"], arguments["rows_per_case"]) == (3, 10, 2)
        assert arguments["modality_norms"] is True


class TestMemory:
    def test_more_memory_gives_larger_batches_of_voxels(self, planned):
        def voxels(**arguments):
            configuration = planned("HermesPlanner", **arguments)["configurations"]["3d_fullres"]
            return configuration["batch_size"] * np.prod(configuration["patch_size"])

        assert voxels(gpu_memory_target_in_gb=4) < voxels() < voxels(gpu_memory_target_in_gb=16)

    def test_the_estimate_of_the_planned_batch_stays_near_the_target(self, planned):
        import torch
        from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

        for gigabytes in (6, 24):
            plans = planned("HermesPlanner", gpu_memory_target_in_gb=gigabytes)
            configuration = plans["configurations"]["3d_fullres"]
            architecture = configuration["architecture"]
            with torch.device("meta"):
                network = get_network_from_plans(
                    architecture["network_class_name"],
                    architecture["arch_kwargs"],
                    architecture["_kw_requires_import"],
                    1,
                    len(plans["hermes"]["tasks"]),
                    allow_init=False,
                    deep_supervision=True,
                )
            kept = network.compute_conv_feature_map_size(configuration["patch_size"]) * configuration["batch_size"] / 2
            target = 680e6 * gigabytes / 8  # nnU-Net's own calibration of residual encoders, at batch size 2
            assert 0.5 * target < kept < 1.25 * target


class TestPatch:
    def test_many_thin_images_do_not_flatten_the_patch_of_the_others(self, planned):
        alone = planned("HermesPlanner", brain_mm=(210, 210, 210))["configurations"]["3d_fullres"]
        with_thin = planned("HermesPlanner", brain_mm=(30, 200, 200))["configurations"]["3d_fullres"]
        assert with_thin["patch_size"] == alone["patch_size"]
        assert with_thin["median_image_size_in_voxels"] == [140, 140, 140]


def test_a_data_set_that_was_not_merged_is_refused(planned, dataset_json, tmp_path):
    del dataset_json["hermes"]
    with pytest.raises(HermesError, match=r"dataset\.json of Dataset900_Both has no 'hermes' block"):
        planned("HermesPlanner")
    assert not list((tmp_path / "preprocessed").rglob("Hermes*"))


class TestImageReader:
    def test_of_the_collection_is_in_the_plans(self, planned, dataset_json, monkeypatch):
        monkeypatch.setitem(dataset_json, "overwrite_image_reader_writer", "HermesImageIO")
        assert planned("HermesPlanner")["image_reader_writer"] == "HermesImageIO"

    def test_that_nnunet_does_not_find_is_told(self, planned, dataset_json, monkeypatch):
        monkeypatch.setattr("hermes_nnunet.planning.planner.READER_WRITER", "NotInstalledIO")
        monkeypatch.setitem(dataset_json, "overwrite_image_reader_writer", "NotInstalledIO")
        with pytest.raises(HermesError, match="nnU-Net does not find the image reader NotInstalledIO of"):
            planned("HermesPlanner")


class TestFingerprint:
    @pytest.fixture
    def plan_again(self, planned, dataset_json, tmp_path):
        """A function that plans a second time, when the collection was merged again with cases of these names."""
        planned("HermesPlannerS")

        def plan(cases):
            from nnunetv2.experiment_planning.experiment_planners.hermes.hermes_planner import HermesPlannerS

            for part in (dataset_json["hermes"]["cases"], dataset_json["dataset"]):
                entry = part["brain__y"]
                part.clear()
                part |= dict.fromkeys(cases, entry)
            (tmp_path / "raw" / "Dataset900_Both" / "dataset.json").write_text(json.dumps(dataset_json))
            HermesPlannerS(900)

        return plan

    @pytest.mark.parametrize("cases", ["bcxyz", "abcxyz", "bcxy", "bacxy"])
    def test_of_other_cases_is_refused(self, plan_again, cases):
        line = rf"fingerprint.json was made of 5 cases, not of the {len(cases)} that .*: plan with --clean"
        with pytest.raises(HermesError, match=line):
            plan_again([f"{'abdomen' if name in 'abc' else 'brain'}__{name}" for name in cases])

    def test_that_was_made_since_is_of_the_cases_that_are_there(self, plan_again, tmp_path):
        file = tmp_path / "preprocessed" / "Dataset900_Both" / "dataset_fingerprint.json"
        os.utime(file, ns=(time.time_ns() + 10**9,) * 2)
        plan_again(["abdomen__b", "abdomen__c", "brain__x", "brain__y", "brain__z"])

    def test_of_the_same_cases_is_used_again(self, plan_again):
        plan_again(["abdomen__a", "abdomen__b", "abdomen__c", "brain__x", "brain__y"])


def test_images_without_labels_change_no_plan(planned, dataset_json):
    cases = dataset_json["hermes"]["cases"]
    cases["brain__y"]["annotated"] = cases["abdomen__c"]["annotated"] = []
    without = planned("HermesPlannerS", brain_mm=(90, 90, 90))
    del cases["brain__y"], cases["abdomen__c"]
    del dataset_json["dataset"]["brain__y"], dataset_json["dataset"]["abdomen__c"]
    assert planned("HermesPlannerS", brain_mm=(90, 90, 90)) == without


def test_a_member_without_labels_has_no_context_to_predict(planned, dataset_json):
    block = dataset_json["hermes"]
    block["members"]["scans"] = {
        **block["members"]["brain"],
        "name": "scans",
        "tasks": [],
        "labels": {"background": 0},
        "regions_class_order": None,
    }
    block["cases"]["brain__y"] = {"member": "scans", "modality": "T1", "patient": "y", "annotated": []}
    assert list(planned("HermesPlannerS")["hermes"]["members"]) == ["abdomen", "brain"]


class TestModalities:
    def test_plans_keep_what_tells_them_apart(self, planned, capsys):
        plans = HermesPlans.from_plans(planned("HermesPlannerS"))
        assert plans.finds_modality
        classifier = ModalityClassifier.from_json(plans.modality_classifier, "the plans")
        assert classifier.modalities == ("CT", "T1")
        assert [look.member for look in classifier.looks] == ["abdomen", "brain"]
        assert "right in 5 of 5 cases of a cross-validation" in capsys.readouterr().out
        ct = np.choose(np.arange(216).reshape(6, 6, 6) // 72, [-80, 240, -1000]).astype(np.float32)
        assert ModalityFinder(classifier).of_image(ct.T, (1, 1, 1), "image").modality == "CT"
