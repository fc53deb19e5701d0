import json
from dataclasses import replace

import pytest

from hermes_nnunet.additions import AddedMember
from hermes_nnunet.collection import Context
from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import Looks, MemberLook
from hermes_nnunet.overrides import all_modalities_override
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
        with pytest.raises(HermesError, match=r"hermes: context is missing: plan the collection"):
            HermesPlans.from_plans(plans)

    @pytest.mark.parametrize("channels", [[], [-1], ["CT"], 0])
    def test_channels_of_a_rule_are_checked(self, plans, channels):
        plans["hermes"]["intensity_clipping"]["CT"]["channels"] = [0]
        assert HermesPlans.from_plans(plans).intensity_clipping["CT"]["channels"] == [0]
        plans["hermes"]["intensity_clipping"]["CT"]["channels"] = channels
        with pytest.raises(HermesError, match=r"intensity_clipping.CT must be range: .* and channels:"):
            HermesPlans.from_plans(plans)


class TestUnseenTasks:
    def test_are_those_of_members_without_the_modality(self, plans):
        assert HermesPlans.from_plans(plans).unseen("CT") == ("brain/whole", "brain/core")
        assert HermesPlans.from_plans(plans).unseen("T1") == ("abdomen/liver", "abdomen/spleen")

    def test_that_another_member_saw_are_not_among_them(self, collection):
        mr = replace(collection.members["abdomen"], tasks=("abdomen/liver",), channels={"T1": None})
        plans = HermesPlans.of_collection(replace(collection, members={**collection.members, "mr": mr}), {})
        assert plans.unseen("T1") == ("abdomen/spleen",)

    def test_of_a_task_without_a_member_nothing_is_said(self, plans):
        plans["hermes"]["tasks"].append("spare")
        assert "spare" not in HermesPlans.from_plans(plans).unseen("CT")
        plans["hermes"]["members"] = {}
        assert HermesPlans.from_plans(plans).unseen("CT") == ()

    @pytest.mark.parametrize("modality", ["unknown", "PET"])
    def test_there_are_none_where_all_know_as_little(self, plans, modality):
        assert HermesPlans.from_plans(plans).unseen(modality) == ()

    def test_there_are_none_where_a_member_has_images_of_unknown_modality(self, plans):
        plans["hermes"]["members"]["brain"]["channels"] = {"unknown": None}
        assert HermesPlans.from_plans(plans).unseen("unknown") == ()

    @pytest.mark.parametrize(("word", "wanted"), [("", False), ("0", False), ("1", True), ("True", True)])
    def test_are_asked_for_by_the_environment(self, monkeypatch, word, wanted):
        monkeypatch.setenv("HERMES_ALL_MODALITIES", word)
        assert all_modalities_override() is wanted


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

    def test_several_members_share_a_context_in_the_order_of_the_pool(self, plans, collection):
        both = HermesPlans.from_plans(plans).of_members(["brain", "abdomen"], "CT")
        assert both.context == Context(collection.task_names, "CT")
        assert both.context_channels == {"CT": None}
        assert HermesPlans.from_plans(plans).of_members(["brain"], "CT").context == Context(
            ("brain/whole", "brain/core"), "CT"
        )

    def test_tasks_of_one_member_keep_its_order(self, collection):
        turned = replace(collection.members["brain"], tasks=("brain/core", "brain/whole"))
        plans = HermesPlans.of_collection(replace(collection, members={**collection.members, "brain": turned}), {})
        assert plans.context_of({"brain/whole", "brain/core"}, "T1").tasks == turned.tasks
        assert plans.context_of({"brain/whole", "abdomen/liver"}, "T1").tasks == ("abdomen/liver", "brain/whole")

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
        assert "voxel order LPS, but was trained on those of some members in others (abdomen RAS, brain SPR)" in str(
            again.notice_of_voxel_orders
        )

    def test_without_tasks_that_never_saw_the_modality_a_member_is_left_with_its_order(self, plans):
        content = replace(
            HermesPlans.from_plans(plans), voxel_order="LPS", voxel_orders={"brain": "SPR", "abdomen": "LAS"}
        )
        left = replace(content, context=replace(content.context, modality="T1")).without(content.unseen("T1"))
        assert left.context == Context(("brain/whole", "brain/core"), "T1")
        assert (left.voxel_order, left.notice_of_voxel_orders) == ("SPR", None)

    def test_members_of_several_orders_that_are_left_keep_the_order_of_the_plans(self, plans, collection):
        third = replace(
            collection.members["brain"], name="third", dataset_name="Dataset013_third", tasks=("brain/core",)
        )
        members = {**collection.members, "third": third}
        content = replace(
            HermesPlans.from_plans(plans),
            members=members,
            voxel_order="LPS",
            voxel_orders={"brain": "SPR", "abdomen": "LAS", "third": "LPS"},
        )
        left = replace(content, context=replace(content.context, modality="T1")).without(content.unseen("T1"))
        assert left.voxel_order == "LPS"
        assert "(brain SPR)" in str(left.notice_of_voxel_orders)

    def test_rows_are_those_of_the_member_with_most_tasks(self, plans):
        assert HermesPlans.from_plans(plans).rows_per_case == 2


class TestModalitiesOfAdditions:
    @pytest.fixture
    def grown(self, collection):
        """The base with two additions that brought T2."""
        plans = HermesPlans.of_collection(collection, {})
        added = tuple(AddedMember(name, (f"{name}/x",), ("T2",), 4) for name in ("one", "two"))
        tasks = (*plans.tasks, "one/x", "two/x")
        return replace(plans, tasks=tasks, modalities=("CT", "T1", "T2", "unknown"), additions=added)

    def test_rows_have_names_of_their_own(self, grown):
        assert grown.modality_row_names == ("CT", "T1", "T2 (one)", "T2 (two)", "unknown")

    def test_old_tasks_cannot_be_told_a_modality_of_an_addition(self, grown, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "T2")
        view = replace(grown, context=Context(("abdomen/liver",), "CT"))
        with pytest.raises(HermesError, match="choose one of CT, T1, unknown"):
            view.with_modality_override()
        assert replace(view, context=Context(("two/x",), "CT")).with_modality_override().context.modality == "T2"

    def test_are_found_where_all_additions_say_what_they_look_like(self, grown):
        looks = {name: Looks(("f",), (MemberLook(name, "T2", (0.0,), (1.0,)),)) for name in ("one", "two")}
        of_base = {"features": ["f"], "looks": [{"member": name} for name in grown.members]}
        members = {**grown.members, **{name: replace(grown.members["brain"], name=name) for name in looks}}
        plans = replace(grown, members=members, modality_classifier=of_base)
        assert not plans.can_find_modality
        one, two = (replace(own, looks=looks[own.member]) for own in plans.additions)
        assert replace(plans, additions=(one, two)).can_find_modality
        assert not replace(plans, additions=(one, plans.additions[1])).can_find_modality
        of_another_release = replace(two, looks=replace(two.looks, features=("g",)))
        assert not replace(plans, additions=(one, of_another_release)).can_find_modality

    def test_need_no_finding_where_all_members_have_the_same(self, plans):
        """Also where that is called unknown."""
        content = HermesPlans.from_plans(plans)
        of_base = {"features": ["f"], "looks": [{"member": name} for name in content.members]}
        told = replace(content.context, modality="unknown")
        several = replace(content, context=told, modality_classifier=of_base)
        assert several.finds_modality
        members = {name: replace(own, channels={"unknown": None}) for name, own in content.members.items()}
        assert not replace(several, members=members).finds_modality

    def test_survive_the_file(self, grown):
        looks = Looks(("f",), (MemberLook("one", "T2", (0.25,), (1.5,)),))
        grown = self.with_looks(grown, looks)
        block = json.loads(json.dumps(grown.to_block()))
        assert [set(own) for own in block["additions"]] == [
            {"member", "tasks", "new_modalities", "rank", "looks"}, {"member", "tasks", "new_modalities", "rank"},
        ]  # fmt: skip
        read = HermesPlans.from_plans({"hermes": block, "plans_name": "HermesPlans", "dataset_name": "Dataset900_Both"})
        assert read == grown
        assert [own.looks for own in read.additions] == [looks, None]

    @staticmethod
    def with_looks(grown, looks):
        labels = {"background": 0, "x": 1}
        member = replace(
            grown.members["brain"], name="one", tasks=("one/x",), labels=labels, regions_class_order=None,
            channels={"T2": None},
        )  # fmt: skip
        one, two = grown.additions
        members = {**grown.members, "one": member}
        return replace(grown, members=members, additions=(replace(one, looks=looks), two))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"mean": (0.0, 1.0)}, r"additions\[0\]\.looks.* 1 features, but lists of other lengths"),
            ({"deviation": (0.0,)}, r"additions\[0\]\.looks\.of_modalities\[0\]\.deviation\[0\] must be greater"),
            ({"member": "two"}, r"hermes\.additions\[0\]\.looks are not those of one"),
            ({"modality": "T1"}, r"hermes\.additions\[0\]\.looks are not those of one"),
            (None, r"additions\[0\]\.looks\.of_modalities"),
        ],
    )
    def test_damaged_looks_are_one_line(self, grown, change, message):
        good = Looks(("f",), (MemberLook("one", "T2", (0.25,), (1.5,)),))
        block = json.loads(json.dumps(self.with_looks(grown, good).to_block()))
        looks = block["additions"][0]["looks"]["of_modalities"]
        if change is None:
            looks.clear()
        else:
            looks[0].update(change)
        content = {"hermes": json.loads(json.dumps(block)), "plans_name": "P", "dataset_name": "Dataset900_Both"}
        with pytest.raises(HermesError, match=message) as caught:
            HermesPlans.from_plans(content)
        assert "\n" not in str(caught.value)
