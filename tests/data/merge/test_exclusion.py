from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.collection import Task
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.data.merge.exclusion import TaskNames, absences, exclusions, tasks_of_unknown_names
from hermes_nnunet.data.merge.structures import overlap_of_names
from hermes_nnunet.errors import HermesError

HEAD = {"background": 0, "brainstem": 1, "spinal_cord": 2, "mandible": 3}
HEART = {"background": 0, "right_ventricle": 1, "myocardium": 2, "left_ventricle": 3}
BELLY = {"background": 0, "liver": 1, "tumor": 2, "rhombencephalon": 3}


@pytest.fixture
def three(raw):
    for number, (name, labels) in enumerate({"Head": HEAD, "Heart": HEART, "Belly": BELLY}.items(), start=1):
        raw.add(f"Dataset{number:03d}_{name}", labels)
    return raw


def merged(*, head=(), heart=(), belly=(), **others):
    members = [
        MemberSpecification(1, "CT", absent=head),
        MemberSpecification(2, "cineMRI", absent=heart),
        MemberSpecification(3, "CT", absent=belly),
    ]
    return merge(MergeSpecification(name="All", into=900, members=members, **others), processes=1).collection


@pytest.mark.usefixtures("three")
class TestExcludes:
    def test_tasks_of_other_members_that_names_set_apart(self):
        excludes = merged().excludes
        assert excludes["Head/brainstem"] == (
            *("Heart/right_ventricle", "Heart/myocardium", "Heart/left_ventricle"),
            *("Belly/liver", "Belly/rhombencephalon"),
        )
        assert "Belly/tumor" not in excludes

    def test_not_tasks_of_one_member(self):
        for task, others in merged().excludes.items():
            assert not [other for other in others if other.partition("/")[0] == task.partition("/")[0]]

    @pytest.mark.parametrize(
        "group",
        [("Head/brainstem", "Belly/rhombencephalon"), ("brainstem", "rhombencephalon"), ("brainstem", "Belly")],
    )
    def test_not_what_the_merge_file_says_may_overlap(self, group):
        excludes = merged(may_overlap=[group]).excludes
        assert "Belly/rhombencephalon" not in excludes["Head/brainstem"]
        assert "Head/brainstem" not in excludes["Belly/rhombencephalon"]
        assert "Belly/rhombencephalon" in excludes["Head/mandible"]

    def test_of_unknown_names_are_told(self):
        assert tasks_of_unknown_names(merged()) == ["Belly/rhombencephalon"]


class TestSharedTasks:
    def test_exclude_nothing_that_one_of_their_names_speaks_of(self, raw):
        raw.add("Dataset001_A", {"background": 0, "stem": 1, "cord": 2})
        raw.add("Dataset002_B", {"background": 0, "brainstem": 1})
        raw.add("Dataset003_C", {"background": 0, "midbrain": 1})
        members = [MemberSpecification(number, "CT") for number in (1, 2, 3)]
        shared = {"truncus": ["A/stem", "B/brainstem"]}
        merging = MergeSpecification(name="All", into=900, members=members, shared_tasks=shared)
        excludes = merge(merging, processes=1).collection.excludes
        assert excludes == {"A/cord": ("truncus", "C/midbrain"), "truncus": ("A/cord",), "C/midbrain": ("A/cord",)}

    def test_of_the_same_members_are_left_to_their_labels(self, raw):
        raw.add("Dataset001_A")
        raw.add("Dataset002_B")
        members = [MemberSpecification(number, "CT") for number in (1, 2)]
        shared = {name: [f"A/{name}", f"B/{name}"] for name in ("liver", "spleen")}
        merging = MergeSpecification(name="All", into=900, members=members, shared_tasks=shared)
        assert merge(merging, processes=1).collection.excludes == {}

    def test_that_own_a_value_together_may_overlap(self):
        tasks = (Task("A/foo", (1, 2), 1), Task("bar", (2,), 2), Task("B/baz", (3,), 3))
        members = {"A/foo": frozenset("A"), "bar": frozenset("AB"), "B/baz": frozenset("B")}
        names = TaskNames(tasks, {name: frozenset([name.rpartition("/")[2]]) for name in members}, members)
        assert exclusions(names, []) == {"A/foo": ("B/baz",), "bar": ("B/baz",), "B/baz": ("A/foo", "bar")}


WORDS = st.lists(
    st.sampled_from(["liver", "left_kidney", "right_kidney", "heart", "myocardium", "cyst", "foo", "body"])
)


class TestRules:
    @given(own=WORDS, others=WORDS)
    def test_exclusion_is_mutual_never_of_itself_and_never_of_what_may_overlap(self, own, others):
        names = [f"A/{word}" for word in dict.fromkeys(own)] + [f"B/{word}" for word in dict.fromkeys(others)]
        tasks = tuple(Task(name, (value,), value) for value, name in enumerate(names, start=1))
        words = {name: frozenset([name[2:]]) for name in names}
        excludes = exclusions(TaskNames(tasks, words, {name: frozenset(name[0]) for name in names}), [])
        for a, b in combinations(names, 2):
            assert (b in excludes.get(a, ())) == (a in excludes.get(b, ()))
            if overlap_of_names(words[a], words[b]) or a[0] == b[0]:
                assert b not in excludes.get(a, ())
        assert all(task not in others for task, others in excludes.items())

    @given(own=WORDS, left_out=WORDS, others=WORDS)
    def test_a_label_makes_the_same_tasks_absent_whether_it_is_kept_or_left_out(self, own, left_out, others):
        def absent(kept, dropped):
            names = [f"A/{word}" for word in dict.fromkeys(kept)] + [f"B/{word}" for word in dict.fromkeys(others)]
            tasks = tuple(Task(name, (value,), value) for value, name in enumerate(names, start=1))
            words = {name: frozenset([name[2:]]) for name in names}
            members = {name: frozenset(name[0]) for name in names}
            member = MemberSpecification(1, "CT", absent="others", labels=dict.fromkeys(dropped))
            return absences(TaskNames(tasks, words, members), {"A": member}, [])

        assert absent([*own, *left_out], []) == absent(own, left_out)


@pytest.mark.usefixtures("three")
class TestAbsent:
    def test_nothing_where_nobody_says_so(self):
        assert merged().absent == {}

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (["left_ventricle"], ("Heart/left_ventricle",)),
            (["Heart/left_ventricle", "left_ventricle"], ("Heart/left_ventricle",)),
            (["Heart", "tumor"], ("Heart/right_ventricle", "Heart/myocardium", "Heart/left_ventricle", "Belly/tumor")),
        ],
    )
    def test_tasks_labels_and_members_by_name(self, said, expected):
        assert merged(head=said).absent == {"Head": expected}

    def test_others_are_all_that_the_member_does_not_label(self):
        absent = merged(heart="others").absent
        assert absent == {
            "Heart": (*(f"Head/{label}" for label in list(HEAD)[1:]), *(f"Belly/{x}" for x in list(BELLY)[1:]))
        }

    def test_others_leave_out_what_is_the_same_or_a_part(self, raw):
        raw.add("Dataset004_Chest", {"background": 0, "heart": 1, "lesion": 2, "liver": 3})
        members = [MemberSpecification(n, "CT") for n in (1, 2, 3)] + [MemberSpecification(4, "CT", absent="others")]
        merging = MergeSpecification(name="All", into=900, members=members, may_overlap=[["Chest/liver", "mandible"]])
        absent = merge(merging, processes=1).collection.absent["Chest"]
        assert absent == ("Head/brainstem", "Head/spinal_cord", "Belly/rhombencephalon")

    def test_others_leave_out_what_labels_show_that_the_merge_leaves_out(self, raw):
        raw.add("Dataset004_Chest", {"background": 0, "lung": 1, "hepar": 2, "heart": 3})
        members = [MemberSpecification(n, "CT") for n in (1, 2, 3)]
        members.append(MemberSpecification(4, "CT", absent="others", labels={"hepar": None, "heart": None}))
        absent = merge(MergeSpecification(name="All", into=900, members=members), processes=1).collection.absent
        assert absent == {
            "Chest": (*(f"Head/{label}" for label in list(HEAD)[1:]), *("Belly/tumor", "Belly/rhombencephalon"))
        }

    def test_what_is_named_in_full_is_absent_whatever_is_left_out(self):
        members = [
            MemberSpecification(1, "CT", absent=["Belly/liver"], labels={"mandible": None}),
            MemberSpecification(3, "CT"),
        ]
        absent = merge(MergeSpecification(name="All", into=900, members=members), processes=1).collection.absent
        assert absent == {"Head": ("Belly/liver",)}

    def test_is_kept_in_the_block_and_a_second_run_has_nothing_to_do(self, read_json, three):
        merged(head=["Heart"])
        block = read_json(three.path / "Dataset900_All/dataset.json")["hermes"]
        assert block["format_version"] == 1
        assert block["absent"] == {"Head": ["Heart/right_ventricle", "Heart/myocardium", "Heart/left_ventricle"]}
        before = three.files()
        merged(head=["Heart"])
        assert three.files() == before

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"head": ["Heart"]}, r"members\.Dataset001_Head\.absent is new"),
            ({"may_overlap": [["brainstem", "liver"]]}, "may_overlap is new"),
        ],
    )
    def test_another_one_is_another_merge(self, changed, message):
        merged()
        with pytest.raises(HermesError, match=message):
            merged(**changed)


class TestBadInput:
    @pytest.mark.parametrize("said", ["liver", "Belly"])
    def test_absent_of_a_label_that_is_left_out_is_one_line(self, raw, said):
        raw.add("Dataset003_Belly", BELLY)
        raw.add("Dataset004_Chest", {"background": 0, "lung": 1, "liver": 2})
        members = [
            MemberSpecification(3, "CT"),
            MemberSpecification(4, "CT", absent=[said], labels={"liver": None}),
        ]
        before = raw.files()
        with pytest.raises(HermesError) as error:
            merge(MergeSpecification(name="All", into=900, members=members), processes=1)
        assert str(error.value) == (
            f"absent of member Chest: '{said}' is Belly/liver, of which the member has a label that labels: leaves "
            "out: take it out, or name another member's task in full, member/label"
        )
        assert raw.files() == before

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (
                {"may_overlap": [["brainstem", "rombencephalon"]]},
                r"may_overlap: there is no task, label or member 'rombencephalon' \(did you mean 'rhombencephalon'\?\)",
            ),
            ({"may_overlap": [["brainstem"]]}, r"may_overlap names \['brainstem'\] alone: give two names or more"),
            (
                {"head": ["Hart"]},
                r"absent of member Head: there is no task, label or member 'Hart' \(did you mean 'Heart'\?\): the",
            ),
            (
                {"head": ["brainstem"]},
                "absent of member Head: 'brainstem' is Head/brainstem, which the member labels itself: take it out",
            ),
            ({"head": ["Heart", "Head"]}, "absent of member Head: 'Head' is Head/brainstem, which the member labels"),
        ],
    )
    def test_is_one_line_and_nothing_is_written(self, three, changed, message):
        before = three.files()
        with pytest.raises(HermesError, match=message) as error:
            merged(**changed)
        assert "\n" not in str(error.value)
        assert three.files() == before
