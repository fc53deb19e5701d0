import pytest
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.views.content import view_dataset_json, view_plans, view_summary


class TestDatasetJson:
    def test_labels_are_the_members_own(self, collection):
        content = view_dataset_json(collection.members["abdomen"], num_training=3)
        assert content["labels"] == {"background": 0, "liver": 2, "spleen": 1}
        assert content["numTraining"] == 3
        assert "regions_class_order" not in content

    def test_regions_keep_their_order_and_a_chosen_channel_is_the_only_one(self, collection):
        content = view_dataset_json(collection.members["brain"], num_training=2)
        assert content["regions_class_order"] == [1, 2]
        assert content["channel_names"] == {"0": "T1"}
        assert content["file_ending"] == ".nii"


class TestPlans:
    def test_the_network_stays_and_the_context_is_the_members(self, plans, collection):
        view = view_plans(plans, "brain")
        assert view["dataset_name"] == "Dataset012_brain"
        assert view["configurations"] == plans["configurations"]
        assert HermesPlans.from_plans(view).context.tasks == ("brain/whole", "brain/core")

    def test_older_plans_get_the_writer_that_keeps_the_codes_of_headers(self, plans):
        assert plans["image_reader_writer"] == "NibabelIOWithReorient"
        manager = PlansManager(view_plans(plans, "brain"))
        assert manager.image_reader_writer_class.__name__ == "HermesImageIO"

    @pytest.mark.parametrize("name", ["abdomen", "brain"])
    def test_nnunet_reads_as_many_heads_and_channels_as_the_context_has(self, plans, collection, name):
        manager = PlansManager(view_plans(plans, name))
        dataset_json = view_dataset_json(collection.members[name], 1)
        assert manager.get_label_manager(dataset_json).num_segmentation_heads == 2
        assert determine_num_input_channels(manager, "3d_fullres", dataset_json) == 1


class TestSummary:
    def test_a_members_cases_are_listed_in_its_own_labels(self, collection):
        def entry(case, **dice):
            keys = {"liver": "1", "spleen": "2", "whole": "(3, 4)", "core": "4"}
            metrics = {key: {"Dice": dice.get(name, float("nan")), "TP": 1} for name, key in keys.items()}
            return {"prediction_file": f"/v/{case}.nii.gz", "reference_file": f"/r/{case}.nii.gz", "metrics": metrics}

        cases = [entry("abdomen__a", liver=0.5, spleen=0.7), entry("brain__x", whole=0.8), entry("brain__y", whole=0.6)]
        summary = view_summary({"metric_per_case": cases}, collection, "brain")
        assert [case["prediction_file"] for case in summary["metric_per_case"]] == [
            "/v/brain__x.nii.gz",
            "/v/brain__y.nii.gz",
        ]
        assert set(summary["mean"]) == {"(1, 2)", "2"}
        assert summary["mean"]["(1, 2)"]["Dice"] == pytest.approx(0.7)
        assert summary["foreground_mean"]["Dice"] == pytest.approx(0.7)
        abdomen = view_summary({"metric_per_case": cases}, collection, "abdomen")
        assert abdomen["mean"]["2"]["Dice"] == pytest.approx(0.5)  # liver is 2 there
