from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.data.merge.fold_planning import collection_folds
from hermes_nnunet.data.merge.folds import make_folds
from hermes_nnunet.data.merge.linking import LinkedCase, link
from hermes_nnunet.errors import HermesError


def case(member, name, *images, patient=""):
    return LinkedCase(member, name, patient or name, images)


def members_of(cases):
    """member -> own case -> its cases in the collection, which have the same name after the member's."""
    found = {}
    for one in cases:
        found.setdefault(one.member, {})[one.name] = [f"{one.member}__{one.name}"]
    return found


def plan(cases, own=None, sharing=()):
    identifiers = members_of(cases)
    annotated = {name: dict.fromkeys(of_case, ("task",)) for name, of_case in identifiers.items()}
    own = {name: (own or {}).get(name) for name in identifiers}
    return collection_folds(own, link(cases, sharing), identifiers, annotated)


class TestLink:
    def test_images_join_patients_of_several_members(self):
        links = link([case("a", "x", "1"), case("a", "y", "2"), case("b", "z", "1"), case("b", "w", "3")])
        assert links.groups == {"a": {"x": "x", "y": "y"}, "b": {"z": "z", "w": "w"}}
        assert links.bonds["a", "x"] == links.bonds["b", "z"]
        assert set(links.bonds) == {("a", "x"), ("b", "z")}
        assert links.same_images == {("a", "b"): 1}

    def test_images_join_patients_of_one_member(self):
        links = link([case("a", "x", "1"), case("a", "y", "1"), case("a", "z", "2")])
        assert links.groups["a"] == {"x": "x", "y": "x", "z": "z"}
        assert links.bonds == {}
        assert links.same_images == {("a",): 1}

    def test_goes_from_patient_to_patient(self):
        cases = [case("a", "x", "1"), case("b", "y", "1", "2"), case("c", "z", "2"), case("b", "q", "9", patient="y")]
        assert len(set(link(cases).bonds.values())) == 1
        assert link(cases).groups["b"] == {"y": "y", "q": "y"}

    def test_images_of_one_value_join_nothing(self):
        assert link([case("a", "x", ""), case("b", "y", "")]).bonds == {}

    def test_names_join_only_members_that_share_patients(self):
        cases = [case(member, name) for member in "abc" for name in ("p1", "p2")]
        assert link(cases).bonds == {}
        links = link(cases, sharing=("a", "c"))
        assert set(links.bonds) == {("a", "p1"), ("a", "p2"), ("c", "p1"), ("c", "p2")}
        assert links.same_patients == 2


@st.composite
def collections(draw):
    """Members with patients, images of which some are the same, some with folds of their own."""
    cases, own = [], {}
    for member in "abc"[: draw(st.integers(1, 3))]:
        names = [f"c{index}" for index in range(draw(st.integers(3, 9)))]
        cases += [
            # Few kinds of images, so that equal ones are common; patients of up to two cases.
            case(member, name, str(draw(st.integers(0, 25))), patient=f"p{index // draw(st.sampled_from([1, 1, 2]))}")
            for index, name in enumerate(names)
        ]
        if draw(st.booleans()):
            patients = {one.name: one.patient for one in cases if one.member == member}
            if len(set(patients.values())) > 1:
                own[member] = make_folds(member, patients, draw(st.integers(2, 6)))
    return cases, own, draw(st.sampled_from([(), ("a", "b"), ("a", "b", "c")]))


class TestCollectionFolds:
    @settings(max_examples=150, deadline=None)
    @given(collections())
    def test_never_part_what_is_linked(self, collection):
        cases, own, sharing = collection
        try:
            result = plan(cases, own, sharing)
        except HermesError as error:
            assert "one patient only" in str(error) or "are validated as cases of other" in str(error)  # noqa: PT017
            return
        content = {f"{one.member}__{one.name}": one for one in cases}
        for fold in result.folds:
            train, val = ([content[name] for name in fold[half]] for half in ("train", "val"))
            images = [
                {image for one in half for image in one.images if one.member not in result.links.alike}
                for half in (train, val)
            ]
            assert not images[0] & images[1]
            assert not {(one.member, one.patient) for one in train} & {(one.member, one.patient) for one in val}
            shared = [{one.patient for one in half if one.member in sharing} for half in (train, val)]
            assert not shared[0] & shared[1]
            for half in (train, val):
                assert {one.member for one in half} == {one.member for one in cases}
            assert len(set(fold["train"] + fold["val"])) == len(fold["train"]) + len(fold["val"])

    def test_are_those_of_each_member_alone_where_nothing_is_linked(self):
        cases = [case(member, f"c{i}", f"{member}{i}") for member in "ab" for i in range(12)]
        result = plan(cases)
        for member in "ab":
            own = make_folds(member, {f"c{i}": f"c{i}" for i in range(12)}, 5)
            for fold, of_collection in zip(own, result.folds, strict=True):
                assert [f"{member}__{name}" for name in fold["val"]] == [
                    name for name in of_collection["val"] if name.startswith(member)
                ]
        assert result.lost == [0] * 5

    def test_of_a_copy_under_other_names_are_the_same(self):
        cases = [case("a", f"c{i}", str(i)) for i in range(10)] + [case("b", f"z{9 - i}", str(i)) for i in range(10)]
        result = plan(cases)
        for fold in result.folds:
            a, b = ([name for name in fold["val"] if name.startswith(member)] for member in "ab")
            assert {f"b__z{9 - int(name[-1])}" for name in a} == set(b)
        assert result.lost == [0] * 5

    def test_stay_even_where_some_images_are_shared(self):
        cases = [case("a", f"c{i}", f"{i}") for i in range(20)] + [case("b", f"c{i}", f"{i + 13}") for i in range(20)]
        result = plan(cases)
        for member in "ab":
            sizes = [sum(name.startswith(member) for name in fold["val"]) for fold in result.folds]
            assert sizes == [4] * 5

    def test_follow_the_folds_that_a_member_brings(self):
        cases = [case("a", f"c{i}", f"{i}") for i in range(4)] + [case("b", f"c{i}", f"{i + 2}") for i in range(8)]
        own = {"a": [{"train": ["c0", "c1", "c2"], "val": ["c3"]}]}
        result = plan(cases, own)
        (fold,) = result.folds
        assert "b__c1" in fold["val"]
        assert "b__c0" in fold["train"]
        assert result.lost == [0]

    def test_follow_all_members_that_bring_some(self):
        cases = [case(member, f"c{i}", str(i)) for member in "abc" for i in range(5)]
        own = {
            "a": [{"train": ["c1", "c2", "c3", "c4"], "val": ["c0"]}],
            "b": [{"train": ["c0", "c2", "c3", "c4"], "val": ["c1"]}],
        }
        result = plan(cases, own)
        assert [name for name in result.folds[0]["val"] if name.startswith("c")] == ["c__c0", "c__c1"]
        assert result.lost == [2]

    def test_that_members_bring_lose_what_they_disagree_on_from_training(self):
        cases = [case(member, f"c{i}", str(i)) for member in "ab" for i in range(4)]
        own = {
            "a": [{"train": ["c1", "c2", "c3"], "val": ["c0"]}],
            "b": [{"train": ["c0", "c2", "c3"], "val": ["c1"]}],
        }
        result = plan(cases, own)
        assert result.folds == [{"train": ["a__c2", "a__c3", "b__c2", "b__c3"], "val": ["a__c0", "b__c1"]}]
        assert result.lost == [2]

    def test_that_would_leave_nothing_to_train_on_are_refused(self):
        cases = [case(member, f"c{i}", str(i)) for member in "ab" for i in range(2)]
        own = {"a": [{"train": ["c1"], "val": ["c0"]}], "b": [{"train": ["c0"], "val": ["c1"]}]}
        with pytest.raises(HermesError, match="all 1 training cases of member a in fold 0 are validated as cases of"):
            plan(cases, own)

    def test_part_the_cases_of_a_member_that_has_one_image_only(self):
        cases = [case("a", "c0", "1"), case("a", "c1", "1"), *(case("b", f"c{i}", str(i)) for i in range(4))]
        result = plan(cases)
        assert result.links.alike == ("a",)
        assert result.links.bonds == {}
        for fold in result.folds:
            assert {name for half in fold.values() for name in half if name.startswith("a")} == {"a__c0", "a__c1"}

    def test_count_each_image_once(self):
        cases = [case("a", "x", "1"), case("a", "y", "2"), case("a", "v", "4"), case("b", "z", "1", "2")]
        cases.append(case("b", "w", "3"))
        assert Counter(link(cases).same_images) == {("a", "b"): 2}


def partly(annotated, own=None):
    """Folds of one member m, each case a patient; case -> tasks that it annotates."""
    cases = [case("m", name) for name in annotated]
    return collection_folds({"m": own}, link(cases), members_of(cases), {"m": annotated})


class TestAnnotatedCaseByCase:
    def test_says_which_halves_of_folds_lack_a_task(self):
        annotated = {"a": ("x", "y"), **dict.fromkeys("bcdef", ("x",))}
        found = partly(annotated)
        assert [(gap.task, gap.half, gap.folds, gap.patients) for gap in found.gaps] == [
            ("y", "val", (0, 1, 2, 3, 4), 1)
        ]

    def test_leaves_own_folds_as_they_are_and_says_what_they_lack(self):
        own = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]
        found = partly({"a": ("x", "y"), "b": ("x",), "c": ("x", "y")}, own)
        assert found.folds[0]["val"] == ["m__c"]
        assert found.gaps == ()
        found = partly({"a": ("x", "y"), "b": ("x",), "c": ("x",)}, own)
        assert [(gap.half, gap.folds) for gap in found.gaps] == [("train", (1,)), ("val", (0,))]

    def test_says_nothing_where_all_cases_annotate_the_same(self):
        assert partly(dict.fromkeys("abc", ("x", "y"))).gaps == ()


class TestUnlabelled:
    def test_are_trained_on_in_every_fold_and_validated_in_none(self):
        annotated = {**dict.fromkeys("abcdef", ("x",)), "u": (), "v": ()}
        for fold in partly(annotated).folds:
            assert {"m__u", "m__v"} <= set(fold["train"])
            assert not {"m__u", "m__v"} & set(fold["val"])
            assert fold["val"]

    def test_labelled_cases_have_the_folds_that_they_have_alone(self):
        labelled = dict.fromkeys("abcdefgh", ("x",))
        without = [fold["val"] for fold in partly(labelled).folds]
        assert [fold["val"] for fold in partly({**labelled, "u": ()}).folds] == without

    def test_are_in_no_half_where_their_patient_is_validated(self):
        cases = [case("m", name, patient=name[0]) for name in ("a1", "a2", "b1", "c1")]
        annotated = {"a1": ("x",), "a2": (), "b1": ("x",), "c1": ("x",)}
        for fold in collection_folds({"m": None}, link(cases), members_of(cases), {"m": annotated}).folds:
            assert ("m__a2" in fold["train"]) == ("m__a1" in fold["train"])
            assert "m__a2" not in fold["val"]

    def test_whole_members_are_in_training_halves_only_but_for_images_that_others_validate(self):
        cases = [*(case("m", name, name) for name in "abcdef"), case("u", "copy", "a"), case("u", "other", "9")]
        annotated = {"m": dict.fromkeys("abcdef", ("x",)), "u": {"copy": (), "other": ()}}
        for own in ({"u": None, "m": None}, {"m": None, "u": None}):
            found = collection_folds(own, link(cases), {n: members_of(cases)[n] for n in own}, annotated)
            for fold in found.folds:
                assert "u__other" in fold["train"]
                assert ("u__copy" in fold["train"]) == ("m__a" in fold["train"])
                assert not {"u__copy", "u__other"} & set(fold["val"])

    def test_own_folds_that_validate_nothing_else_are_refused(self):
        own = [{"train": ["a", "b"], "val": ["u"]}]
        with pytest.raises(
            HermesError, match=r"fold 0 of splits_final.json of member m validates unlabelled cases only"
        ):
            partly({"a": ("x",), "b": ("x",), "u": ()}, own)
