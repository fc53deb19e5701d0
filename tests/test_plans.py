import json
from dataclasses import replace

import pytest

from hermes_nnunet.collection import Context
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans


class TestBlock:
    def test_plans_survive_json(self, plans):
        hermes_plans = HermesPlans.from_plans(plans)
        again = {"hermes": json.loads(json.dumps(hermes_plans.to_block()))}
        assert HermesPlans.from_plans(again) == hermes_plans

    def test_stock_plans_say_which_planner_to_use(self):
        with pytest.raises(
            HermesError, match=r"plans nnUNetPlans of Dataset001_X has no 'hermes' block.*-pl HermesPlanner"
        ):
            HermesPlans.from_plans({"plans_name": "nnUNetPlans", "dataset_name": "Dataset001_X"})

    def test_a_damaged_block_names_what_is_missing(self, plans):
        del plans["hermes"]["context"]
        with pytest.raises(HermesError, match=r"damaged .*context"):
            HermesPlans.from_plans(plans)


class TestContext:
    def test_a_universal_model_predicts_all_tasks_with_unknown_modality(self, plans, collection):
        assert HermesPlans.from_plans(plans).context == Context(collection.task_names, "unknown")

    def test_where_all_members_have_one_modality_that_is_predicted_with(self, collection):
        one = replace(collection, members={"abdomen": collection.members["abdomen"]})
        plans = HermesPlans.of_collection(one, {})
        assert plans.context == Context(collection.task_names, "CT")

    def test_a_member_gets_its_own_context_and_channel(self, plans):
        member_plans = HermesPlans.from_plans(plans).of_member("brain")
        assert member_plans.context == Context(("brain/whole", "brain/core"), "T1")
        assert member_plans.context_channels == {"T1": 1}

    def test_the_environment_names_the_modality(self, plans, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "CT")
        assert HermesPlans.from_plans(plans).with_modality_override().context.modality == "CT"

    def test_an_unknown_modality_in_the_environment_lists_the_known(self, plans, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "MRT")
        with pytest.raises(HermesError, match=r"HERMES_MODALITY=MRT .* CT, T1, unknown"):
            HermesPlans.from_plans(plans).with_modality_override()

    def test_a_member_has_its_voxel_order_and_others_ours(self, plans):
        content = HermesPlans.from_plans(plans)
        assert not content.has_voxel_orders
        assert "voxel_order" not in content.to_block()
        content = replace(content, voxel_order="LPS", voxel_orders={"brain": "SPR"})
        again = HermesPlans.from_plans({**plans, "hermes": content.to_block()})
        assert again == content
        assert again.of_member("brain").voxel_order == "SPR"
        assert again.of_member("abdomen").voxel_order == "RAS"
        assert again.of_member("brain").notice_of_voxel_orders is None
        assert "voxel order LPS, but was trained on those of some members in others (brain SPR)" in str(
            again.notice_of_voxel_orders
        )

    def test_rows_are_those_of_the_member_with_most_tasks(self, plans):
        assert HermesPlans.from_plans(plans).rows_per_case == 2
