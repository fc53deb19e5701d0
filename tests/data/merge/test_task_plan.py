from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.data.merge.case_rewriting import map_values
from hermes_nnunet.data.merge.own_labels import read_own_labels
from hermes_nnunet.data.merge.task_plan import LARGEST_VALUE, LabelledMember, TaskPlan, plan_tasks
from hermes_nnunet.errors import HermesError


def labelled(
    name: str, labels: dict[str, Any], order: list[int] | None = None, renamed: dict[str, str | None] | None = None
) -> LabelledMember:
    own = read_own_labels({"labels": {"background": 0, **labels}, "regions_class_order": order}, "dataset.json")
    return LabelledMember(name, own, renamed or {})


def values_of(plan: TaskPlan) -> dict[str, tuple[int, ...]]:
    return {task.name: task.values for task in plan.tasks}


BRATS = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


class TestValues:
    def test_count_from_one_in_the_order_of_members(self):
        plan = plan_tasks([labelled("a", {"x": 1, "y": 2}), labelled("b", {"z": 1})], {})
        assert values_of(plan) == {"a/x": (1,), "a/y": (2,), "b/z": (3,)}

    def test_of_labels_that_are_left_out_become_background(self):
        plan = plan_tasks([labelled("a", {"x": 1, "y": 2, "z": 5}, renamed={"y": None})], {})
        assert plan.members["a"].values == {0: 0, 1: 1, 2: 0, 5: 2}
        assert plan.members["a"].labels == {"background": 0, "x": 1, "z": 5}

    def test_are_one_where_members_share_a_label_of_one_value(self):
        plan = plan_tasks(
            [labelled("a", {"x": 1, "liver": 2}), labelled("b", {"liver": 1, "z": 2})],
            {"liver": ["a/liver", "b/liver"]},
        )
        assert values_of(plan) == {"a/x": (1,), "liver": (2,), "b/z": (3,)}
        assert plan.members["b"].tasks == ("liver", "b/z")

    def test_of_a_task_shared_with_a_region_are_those_of_all_its_labels(self):
        plan = plan_tasks(
            [labelled("a", {"tumour": 1}), labelled("b", BRATS, [1, 2, 3])], {"core": ["a/tumour", "b/core"]}
        )
        assert values_of(plan) == {"b/whole": (2, 3, 4), "core": (1, 3, 4), "b/enhancing": (4,)}
        assert [task.written_value for task in plan.tasks] == [2, 3, 4]

    def test_above_what_nnunet_can_store_are_an_error(self):
        too_many = labelled("a", {f"label {i}": i for i in range(1, LARGEST_VALUE + 2)})
        with pytest.raises(HermesError, match=r"32768 label values together, nnU-Net can store 32767"):
            plan_tasks([too_many], {})

    def test_count_the_ignore_value_too(self):
        labels = {f"label {i}": i for i in range(1, LARGEST_VALUE + 1)}
        assert plan_tasks([labelled("a", labels)], {}).ignore is None
        with pytest.raises(HermesError, match="32768 label values"):
            plan_tasks([labelled("a", {**labels, "ignore": LARGEST_VALUE + 1})], {})


class TestRegions:
    def test_stay_regions(self):
        plan = plan_tasks([labelled("a", {"x": 1}), labelled("b", BRATS, [1, 2, 3])], {})
        assert values_of(plan) == {"a/x": (1,), "b/whole": (2, 3, 4), "b/core": (3, 4), "b/enhancing": (4,)}
        assert [task.written_value for task in plan.tasks] == [1, 2, 3, 4]
        assert plan.members["b"].regions_class_order == (1, 2, 3)
        assert plan.members["a"].regions_class_order is None

    def test_lose_the_values_that_only_a_left_out_region_had(self):
        plan = plan_tasks([labelled("b", BRATS, [1, 2, 3], {"whole": None})], {})
        assert plan.members["b"].values == {0: 0, 1: 0, 2: 1, 3: 2}
        assert plan.members["b"].labels == {"background": 0, "core": [2, 3], "enhancing": 3}
        assert plan.members["b"].regions_class_order == (2, 3)

    def test_are_ordered_so_that_a_shared_one_is_painted_over_what_holds_it(self):
        plan = plan_tasks(
            [labelled("a", {"core": 1, "other": 2}), labelled("b", BRATS, [1, 2, 3])], {"core": ["a/core", "b/core"]}
        )
        assert list(values_of(plan)) == ["b/whole", "core", "a/other", "b/enhancing"]


class TestIgnore:
    def test_gets_the_highest_value_of_the_collection(self):
        plan = plan_tasks([labelled("a", {"x": 1, "ignore": 2}), labelled("b", {"y": 1, "z": 2})], {})
        assert plan.ignore == 4
        assert plan.members["a"].values == {0: 0, 1: 1, 2: 4}
        assert plan.members["a"].labels["ignore"] == 2

    def test_is_left_out_of_a_member_whose_kept_values_end_below(self):
        plan = plan_tasks([labelled("a", {"x": 1, "y": 2, "ignore": 3}, renamed={"y": None})], {})
        assert plan.members["a"].labels == {"background": 0, "x": 1}
        assert plan.members["a"].values[3] == plan.ignore == 2


class TestNames:
    def test_are_renamed_in_tasks_but_not_in_the_members_own_labels(self):
        plan = plan_tasks([labelled("a", {"x": 1, "y": 2}, renamed={"x": "stem"})], {})
        assert plan.members["a"].tasks == ("a/stem", "a/y")
        assert list(plan.members["a"].labels) == ["background", "x", "y"]

    def test_can_be_swapped(self):
        plan = plan_tasks([labelled("a", {"x": 1, "y": 2}, renamed={"x": "y", "y": "x"})], {})
        assert plan.members["a"].tasks == ("a/y", "a/x")


@st.composite
def merges(draw: st.DrawFn) -> tuple[list[LabelledMember], dict[str, list[str]]]:
    members = []
    for name in "abc"[: draw(st.sampled_from([2, 3, 1]))]:
        atoms = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4, unique=True))
        if draw(st.booleans()):
            subsets = st.lists(st.sampled_from(atoms), min_size=1, unique=True).map(sorted)
            regions = draw(st.lists(subsets, min_size=2, max_size=3, unique_by=tuple))
            labels = {f"l{i}": region for i, region in enumerate(regions)}
            order = [draw(st.sampled_from(region)) for region in regions]
        else:
            labels, order = {f"l{i}": value for i, value in enumerate(atoms)}, None
        if draw(st.booleans()):
            labels["ignore"] = 6
        names = [label for label in labels if label != "ignore"]
        left_out = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
        members.append(labelled(name, labels, order, dict.fromkeys(left_out)))
    orders = [
        draw(st.permutations([x.name for x in member.labels.labels if x.name not in member.renamed]))
        for member in members
    ]
    number = draw(st.sampled_from([2, 3, 1, 0])) if len(members) > 1 else 0
    shared = {
        f"shared {i}": [f"{member.name}/{label}" for member, label in zip(members, labels, strict=True)]
        for i, labels in enumerate(list(zip(*orders, strict=False))[:number])
    }
    return members, shared


class TestMapping:
    @settings(max_examples=200, deadline=None)
    @given(merges(), st.integers(0, 2**32 - 1))
    def test_keeps_the_voxels_of_every_label(self, merge, seed):
        members, shared = merge
        try:
            plan = plan_tasks(members, shared)
        except HermesError as error:
            # Labels that do not mean the same in their members cannot be shared.
            if "would cover" not in str(error):
                raise
            return
        tasks = values_of(plan)
        for member in members:
            known = sorted(member.labels.known_values)
            own = np.random.default_rng(seed).choice(known, (4, 3, 5))
            part = plan.members[member.name]
            mapped, unknown = map_values(own, part.values, "uint16")
            assert unknown == []
            kept = [label for label in member.labels.labels if label.name not in member.renamed]
            assert len(kept) == len(part.tasks)
            for label, task in zip(kept, part.tasks, strict=True):
                np.testing.assert_array_equal(np.isin(mapped, tasks[task]), np.isin(own, label.values))
            if member.labels.ignore is not None:
                np.testing.assert_array_equal(mapped == plan.ignore, own == member.labels.ignore)

    @settings(max_examples=200, deadline=None)
    @given(merges())
    def test_uses_consecutive_values_with_ignore_last(self, merge):
        try:
            plan = plan_tasks(*merge)
        except HermesError:
            return
        used = {value for task in plan.tasks for value in task.values}
        assert used == set(range(1, len(used) + 1))
        assert plan.ignore in (None, len(used) + 1)
        assert all(task.written_value in task.values for task in plan.tasks)
        assert {name for part in plan.members.values() for name in part.tasks} == {task.name for task in plan.tasks}
