import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hermes_nnunet.additions import AddedMember
from hermes_nnunet.collection import Collection, Member, Task
from hermes_nnunet.core.trusted_plans import TRUST_VARIABLE
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.passes import choose, wanted_modality


def model_of(tasks_of, modality_of=None, network="hermes_nnunet.networks.hermes_unet.HermesUNet"):
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
    architecture = {"network_class_name": network, "arch_kwargs": {}, "_kw_requires_import": []}
    plans = {"hermes": None, "configurations": {"3d_fullres": {"architecture": architecture}}}
    folder = Path("model")
    return ModelFolder(folder, plans, dataset_json, hermes_plans, collection, ("0",), "checkpoint_final.pth")


PAPERS_NETWORK = "hermes_nnunet.networks.hermes_resunet.HermesResUNet"


def summary(choice):
    return [
        (",".join(one.members), one.context.modality, [label.name for label in one.labels]) for one in choice.passes
    ]


TWO = {"amos_ct": ["liver", "spleen", "aorta"], "amos_mr": ["liver", "spleen"], "lits": ["lits/liver", "lits/tumour"]}
MODALITIES = {"amos_ct": ("CT",), "amos_mr": ("T1",), "lits": ("CT",)}


class TestNetwork:
    """What the plans name says whether members go together; it is imported only where that is allowed."""

    @pytest.fixture
    def own_network(self, tmp_path, monkeypatch):
        """Name of a network whose module, on the path, makes the file `imported`."""
        imported = tmp_path / "imported"
        (tmp_path / "own_network.py").write_text(
            f"open({str(imported)!r}, 'w').close()\nclass Network:\n    attends_to_null_rows = True\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delenv(TRUST_VARIABLE, raising=False)
        yield "own_network.Network", imported
        sys.modules.pop("own_network", None)

    def test_that_is_not_known_is_refused_and_not_imported(self, own_network):
        name, imported = own_network
        model = model_of(TWO, MODALITIES, network=name)
        with pytest.raises(HermesError, match=r"model/plans\.json.*network_class_name is 'own_network\.Network'"):
            choose(model, everything=True)
        assert not imported.exists()

    def test_that_a_person_trusts_is_asked(self, own_network):
        name, imported = own_network
        model = replace(model_of(TWO, MODALITIES, network=name), trust_plans=True)
        assert not model.merges_members
        assert imported.exists()


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

    def test_several_members_that_know_the_modality_come_before_one_that_does_not(self):
        members = {"mr": ["liver", "spleen"], "ct": ["liver"], "other_ct": ["spleen", "kidney"]}
        model = model_of(members, {"mr": ("T1",), "ct": ("CT",), "other_ct": ("CT",)})
        (one,) = choose(model, tasks=["liver", "spleen"], modality="CT").passes
        assert one.members == ("ct", "other_ct")
        assert one.context.tasks == ("liver", "spleen", "kidney")

    def test_members_of_one_modality_share_a_pass_with_all_their_tasks(self):
        choice = choose(model_of(TWO, MODALITIES), tasks=["tumour", "aorta"])
        assert summary(choice) == [("amos_ct,lits", "CT", ["aorta", "lits/tumour"])]
        assert choice.passes[0].context.tasks == ("liver", "spleen", "aorta", "lits/liver", "lits/tumour")
        assert [label.member for label in choice.labels] == ["amos_ct", "lits"]

    def test_where_the_modality_is_not_named_few_modalities_come_before_few_members(self):
        members = {"mr": ["liver", "spleen"], "ct": ["liver", "aorta"], "other_ct": ["spleen", "kidney"]}
        model = model_of(members, {"mr": ("T1",), "ct": ("CT",), "other_ct": ("CT",)})
        choice = choose(model, tasks=["aorta", "spleen"])
        assert summary(choice) == [("ct,other_ct", "CT", ["spleen", "aorta"])]

    def test_a_named_modality_takes_one_pass_also_for_members_that_do_not_know_it(self):
        choice = choose(model_of(TWO, {**MODALITIES, "lits": ("PET",)}), tasks=["tumour", "aorta"], modality="CT")
        assert summary(choice) == [("amos_ct,lits", "CT", ["aorta", "lits/tumour"])]
        assert choice.warnings == ("no CT was among the training images of lits (PET): check the result",)

    @given(
        st.lists(st.sets(st.sampled_from("abcdefg"), min_size=1), min_size=1, max_size=6).flatmap(
            lambda members: st.tuples(
                st.just(members), st.sets(st.sampled_from(sorted(set().union(*members))), min_size=1)
            )
        )
    )
    @example(([{"a"}, {"b"}, {"c"}], {"a", "b", "c"}))
    def test_one_pass_has_the_tasks_of_as_few_members_as_possible_and_shows_every_task_once(self, drawn):
        members, wanted = drawn
        tasks_of = {f"member_{number}": sorted(tasks) for number, tasks in enumerate(members)}
        fewest = next(
            number
            for number in range(1, len(members) + 1)
            if any(wanted <= set().union(*some) for some in combinations(members, number))
        )
        (one,) = choose(model_of(tasks_of), tasks=sorted(wanted)).passes
        assert sorted(label.name for label in one.labels) == sorted(wanted)
        assert len(one.members) == fewest
        assert set(one.context.tasks) == {task for member in one.members for task in tasks_of[member]}
        papers = choose(model_of(tasks_of, network=PAPERS_NETWORK), tasks=sorted(wanted))
        assert sorted(label.name for label in papers.labels) == sorted(wanted)
        assert len(papers.passes) == fewest


class TestEverything:
    def test_takes_each_task_once(self):
        labels = choose(model_of(TWO), everything=True).labels
        assert [label.name for label in labels] == ["liver", "spleen", "aorta", "lits/liver", "lits/tumour"]
        assert len({label.colour for label in labels}) == 5

    def test_takes_a_pass_for_each_modality_of_the_members(self):
        members = {"a": ["a/x"], "b": ["b/y"], "c": ["c/z"]}
        choice = choose(model_of(members, {"a": ("CT",), "b": ("T1",), "c": ("CT",)}), everything=True)
        assert summary(choice) == [("a,c", "CT", ["a/x", "c/z"]), ("b", "T1", ["b/y"])]

    def test_takes_one_pass_where_the_modality_is_named(self):
        members = {f"m{number}": [f"m{number}/{organ}" for organ in range(7)] for number in range(11)}
        choice = choose(model_of(members), everything=True, modality="CT")
        assert [len(one.labels) for one in choice.passes] == [77]
        assert choice.warnings == ()

    def test_leaves_out_what_never_saw_the_modality_and_says_so(self):
        choice = choose(model_of(TWO, MODALITIES), everything=True, modality="T1")
        assert summary(choice) == [("amos_mr", "T1", ["liver", "spleen"])]
        assert choice.passes[0].context.tasks == ("liver", "spleen")
        assert choice.warnings == (
            "left out, since no T1 was among their training images: aorta, lits/liver, lits/tumour; "
            "--all-modalities (all_modalities=True in Python) brings them back",
        )

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_brings_them_back_on_request(self, how, monkeypatch):
        if how == "environment":
            monkeypatch.setenv("HERMES_ALL_MODALITIES", "1")
        model = model_of(TWO, MODALITIES)
        choice = choose(model, everything=True, modality="T1", all_modalities=how == "argument")
        (one,) = choice.passes
        assert one.members == ("amos_ct", "amos_mr", "lits")
        assert one.context.tasks == ("liver", "spleen", "aorta", "lits/liver", "lits/tumour")
        assert [label.member for label in one.labels] == ["amos_mr", "amos_mr", "amos_ct", "lits", "lits"]
        assert choice.warnings == ("no T1 was among the training images of amos_ct (CT), lits (CT): check the result",)

    def test_leaves_nothing_out_for_unknown_or_for_a_modality_that_no_member_has(self):
        model = model_of(TWO, MODALITIES)
        (one,) = (choice := choose(model, everything=True, modality="unknown")).passes
        assert len(one.labels) == 5
        assert choice.warnings == (
            "no unknown was among the training images of amos_ct (CT), lits (CT): check the result",
        )
        plans = replace(model.hermes_plans, modalities=("CT", "T1", "PET", "unknown"))
        assert len(choose(replace(model, hermes_plans=plans), everything=True, modality="PET").labels) == 5

    def test_tasks_that_are_named_are_never_left_out(self):
        choice = choose(model_of(TWO, MODALITIES), tasks=["tumour"], modality="T1")
        assert summary(choice) == [("lits", "T1", ["lits/tumour"])]
        assert choice.warnings == ("no T1 was among the training images of lits (CT): check the result",)

    def test_all_modalities_of_what_is_named_is_refused(self):
        with pytest.raises(UsageError, match="all modalities go with everything"):
            choose(model_of(TWO, MODALITIES), tasks=["liver"], all_modalities=True)

    def test_a_switch_that_is_neither_on_nor_off_is_refused(self, monkeypatch):
        monkeypatch.setenv("HERMES_ALL_MODALITIES", "perhaps")
        with pytest.raises(HermesError, match="HERMES_ALL_MODALITIES=perhaps is neither 1 nor 0"):
            choose(model_of(TWO, MODALITIES), everything=True, modality="CT")

    def test_is_a_pass_for_each_member_in_the_papers_networks(self):
        members = {"amos_ct": ["liver", "aorta"], "lits": ["lits/liver"], "amos_mr": ["liver", "spleen"]}
        model = model_of(members, MODALITIES, PAPERS_NETWORK)
        assert summary(choose(model, everything=True, modality="CT")) == [
            ("amos_ct", "CT", ["liver", "aorta"]),
            ("lits", "CT", ["lits/liver"]),
        ]
        assert [one.members for one in choose(model, tasks=["aorta", "spleen"]).passes] == [("amos_ct",), ("amos_mr",)]


class TestModality:
    def test_is_each_members_own_unless_it_is_named(self):
        model = model_of(TWO, MODALITIES)
        assert [one.context.modality for one in choose(model, members=["lits", "amos_mr"]).passes] == ["CT", "T1"]
        choice = choose(model, everything=True, modality="T1", all_modalities=True)
        assert [one.context.modality for one in choice.passes] == ["T1"]

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

    def test_members_that_share_a_pass_take_the_channel_that_they_agree_on(self, read_model):
        def pass_of(brains, everything):
            abdomen = read_model.members["abdomen"]
            members = {"abdomen": abdomen} | {
                f"brain{number}": replace(
                    read_model.members["brain"],
                    tasks=(f"brain/{number}",),
                    channels={"T1": channel},
                    channel_names={str(place): "MR" for place in range(names)},
                )
                for number, (channel, names) in enumerate(brains)
            }
            plans = read_model.hermes_plans
            tasks = tuple(task for member in members.values() for task in member.tasks)
            labels = tuple(Task(task, (value,), value) for value, task in enumerate(tasks, start=1))
            model = replace(
                read_model,
                hermes_plans=replace(plans, members=members, tasks=tasks),
                collection=replace(read_model.collection, tasks=labels, members=members),
            )
            (one,) = choose(model, everything=True, modality="T1", all_modalities=everything).passes
            return one.channel, one.image_channels

        assert pass_of([(1, 2), (1, 2)], everything=False) == (1, 2)
        assert pass_of([(1, 2), (1, 2)], everything=True) == (1, 2)
        assert pass_of([(1, 2), (0, 2)], everything=False) == (None, 1)
        assert pass_of([(1, 2), (None, 1)], everything=False) == (None, 1)
        assert pass_of([(1, 2), (1, 3)], everything=False) == (None, 1)


def test_a_model_that_was_imported_without_members_says_what_to_do():
    model = model_of({"abdomen": ["liver"]})
    without = replace(model, hermes_plans=replace(model.hermes_plans, members={}))
    with pytest.raises(HermesError, match=r"imported without its members.* --members FILE, .*nnUNetv2_predict"):
        choose(without, everything=True)


class TestAdditions:
    @pytest.fixture
    def model(self):
        """TWO, where lits was brought by an addition."""
        model = model_of(TWO, MODALITIES)
        added = AddedMember("lits", tuple(TWO["lits"]), (), 4)
        return replace(model, hermes_plans=replace(model.hermes_plans, additions=(added,)))

    def test_take_a_pass_of_their_own(self, model):
        assert summary(choose(model, everything=True, modality="CT")) == [
            ("amos_ct", "CT", ["liver", "spleen", "aorta"]),
            ("lits", "CT", ["lits/liver", "lits/tumour"]),
        ]

    def test_one_prediction_of_everything_is_cut_into_contexts(self, model):
        plans = model.hermes_plans
        parts = [part.tasks for part, _ in plans.parts_of(plans.context)]
        assert parts == [("liver", "spleen", "aorta"), ("lits/liver", "lits/tumour")]
