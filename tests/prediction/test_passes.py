from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.collection import Collection, Member, Task
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.passes import choose, wanted_modality


def model_of(tasks_of, modality_of=None):
    """A model whose members have these tasks (and modalities), without files."""
    names = list(dict.fromkeys(task for tasks in tasks_of.values() for task in tasks))
    modality_of = modality_of or dict.fromkeys(tasks_of, ("CT",))
    members = {
        member: Member(
            name=member,
            dataset_name=f"Dataset001_{member}",
            tasks=tuple(tasks),
            labels={"background": 0, **{task: value for value, task in enumerate(tasks, start=1)}},
            regions_class_order=None,
            channels=dict.fromkeys(modality_of[member]),
            channel_names={"0": "image"},
            file_ending=".nii.gz",
            sampling_weight=1.0,
        )
        for member, tasks in tasks_of.items()
    }
    modalities = (*dict.fromkeys(known for of_member in modality_of.values() for known in of_member), "unknown")
    tasks = tuple(Task(name, (value,), value) for value, name in enumerate(names, start=1))
    collection = Collection(tasks, modalities, members, {})
    dataset_json = {"channel_names": {"0": "image"}, "file_ending": ".nii.gz"}
    hermes_plans = HermesPlans.of_collection(collection, {"default": {"percentiles": [2, 98]}})
    return ModelFolder(None, {"hermes": None}, dataset_json, hermes_plans, collection, ("0",), "checkpoint_final.pth")


def summary(choice):
    return [(one.labels[0].member, one.context.modality, [label.name for label in one.labels]) for one in choice.passes]


TWO = {"amos_ct": ["liver", "spleen", "aorta"], "amos_mr": ["liver", "spleen"], "lits": ["lits/liver", "lits/tumour"]}
MODALITIES = {"amos_ct": ("CT",), "amos_mr": ("T1",), "lits": ("CT",)}


class TestMembers:
    def test_each_is_a_pass_with_its_own_tasks_and_modality(self):
        choice = choose(model_of(TWO, MODALITIES), members=["lits", "amos_mr"])
        assert summary(choice) == [
            ("lits", "CT", ["lits/liver", "lits/tumour"]),
            ("amos_mr", "T1", ["liver", "spleen"]),
        ]

    def test_one_alone_has_its_own_label_values(self):
        model = model_of(TWO, MODALITIES)
        assert [label.value for label in choose(model, members=["lits"]).labels] == [1, 2]
        assert [label.value for label in choose(model, members=["lits", "amos_mr"]).labels] == [4, 5, 1, 2]

    def test_a_task_that_several_share_is_taken_from_the_first(self):
        choice = choose(model_of(TWO, MODALITIES), members=["amos_mr", "amos_ct"])
        assert summary(choice) == [("amos_mr", "T1", ["liver", "spleen"]), ("amos_ct", "CT", ["aorta"])]

    def test_a_model_of_one_needs_no_choice(self):
        assert summary(choose(model_of({"amos": ["liver"]}))) == [("amos", "CT", ["liver"])]

    def test_a_model_of_several_asks_for_a_choice(self):
        with pytest.raises(HermesError, match=r"has the members amos_ct, amos_mr, lits: name some \(--member\)"):
            choose(model_of(TWO))

    def test_only_one_kind_of_choice_is_taken(self):
        with pytest.raises(UsageError):
            choose(model_of(TWO), members=["lits"], tasks=["liver"])


class TestTasks:
    def test_one_pass_where_one_member_has_them_all(self):
        assert summary(choose(model_of(TWO, MODALITIES), tasks=["aorta", "liver"])) == [
            ("amos_ct", "CT", ["liver", "aorta"])
        ]

    def test_the_context_is_the_whole_member_whatever_is_shown(self):
        (one,) = choose(model_of(TWO), tasks=["tumour"]).passes
        assert one.context.tasks == ("lits/liver", "lits/tumour")
        assert [label.name for label in one.labels] == ["lits/tumour"]

    def test_values_are_those_of_the_collection(self):
        assert [label.value for label in choose(model_of(TWO), tasks=["tumour"]).labels] == [5]

    def test_a_member_that_knows_the_modality_comes_first(self):
        model = model_of(TWO, MODALITIES)
        assert summary(choose(model, tasks=["liver"], modality="T1")) == [("amos_mr", "T1", ["liver"])]
        assert summary(choose(model, tasks=["liver"], modality="CT")) == [("amos_ct", "CT", ["liver"])]

    def test_everything_takes_each_task_once(self):
        labels = choose(model_of(TWO), everything=True).labels
        assert [label.name for label in labels] == ["liver", "spleen", "aorta", "lits/liver", "lits/tumour"]
        assert len({label.colour for label in labels}) == 5

    @given(
        st.lists(st.sets(st.sampled_from("abcdefg"), min_size=1), min_size=1, max_size=6).flatmap(
            lambda members: st.tuples(
                st.just(members), st.sets(st.sampled_from(sorted(set().union(*members))), min_size=1)
            )
        )
    )
    def test_there_are_as_few_passes_as_possible_and_every_task_is_shown_once(self, drawn):
        members, wanted = drawn
        model = model_of({f"member_{number}": sorted(tasks) for number, tasks in enumerate(members)})
        choice = choose(model, tasks=sorted(wanted))
        assert sorted(label.name for label in choice.labels) == sorted(wanted)
        fewest = next(
            number
            for number in range(1, len(members) + 1)
            if any(wanted <= set().union(*some) for some in combinations(members, number))
        )
        assert len(choice.passes) == fewest


class TestModality:
    def test_is_each_members_own_unless_it_is_named(self):
        model = model_of(TWO, MODALITIES)
        assert [one.context.modality for one in choose(model, members=["lits", "amos_mr"]).passes] == ["CT", "T1"]
        assert {one.context.modality for one in choose(model, everything=True, modality="T1").passes} == {"T1"}

    def test_one_that_was_never_trained_is_refused_and_unknown_is_offered(self):
        with pytest.raises(HermesError, match=r"'ct' was never trained .did you mean 'CT'.*CT, T1.* or 'unknown'"):
            choose(model_of(TWO, MODALITIES), everything=True, modality="ct")

    def test_one_that_a_member_was_not_trained_on_is_told(self):
        model = model_of(TWO, MODALITIES)
        (warning,) = choose(model, members=["lits", "amos_mr"], modality="CT").warnings
        assert warning == "no CT was among the training images of amos_mr (T1): check the result"
        assert choose(model, members=["lits"], modality="CT").warnings == ()

    def test_one_that_is_guessed_is_told(self):
        model = model_of(TWO, MODALITIES)
        (warning,) = choose(model, tasks=["liver"]).warnings
        assert warning.startswith("the images are taken for CT (amos_ct): name their modality")
        assert choose(model, members=["lits"]).warnings == ()

    def test_of_the_environment_is_taken_unless_another_is_named(self, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "T1")
        assert wanted_modality(None) == "T1"
        assert wanted_modality("T1") == "T1"
        with pytest.raises(HermesError, match="HERMES_MODALITY=T1, but the modality CT is asked for"):
            wanted_modality("CT")


class TestRegions:
    def test_a_region_keeps_all_values_that_belong_to_it(self, read_model):
        labels = {label.name: label for label in choose(read_model, everything=True).labels}
        assert labels["brain/whole"].values == (3, 4)
        assert labels["brain/whole"].value == 3
        own = {label.name: label for label in choose(read_model, members=["brain"]).labels}
        assert own["brain/whole"].values == (1, 2)

    def test_the_channel_is_that_of_the_modality(self, read_model):
        assert choose(read_model, members=["brain"]).passes[0].channel == 1
        assert choose(read_model, members=["brain"], modality="unknown").passes[0].channel is None


def test_a_model_that_was_imported_without_members_says_what_to_do():
    model = model_of({"abdomen": ["liver"]})
    without = replace(model, hermes_plans=replace(model.hermes_plans, members={}))
    with pytest.raises(HermesError, match=r"imported without its members.* --members FILE, .*nnUNetv2_predict"):
        choose(without, everything=True)
