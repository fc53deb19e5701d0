import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.data.merge.folds import join_folds, make_folds, number_of_folds, read_own_folds
from hermes_nnunet.errors import HermesError


def patients_of(counts: list[int]) -> dict[str, str]:
    """Cases "p<patient>_<number>" -> "p<patient>"."""
    return {f"p{patient}_{i}": f"p{patient}" for patient, count in enumerate(counts) for i in range(count)}


class TestMakeFolds:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(1, 4), min_size=2, max_size=12), st.integers(2, 6))
    def test_validates_every_patient_once_and_evenly(self, counts, number):
        patients = patients_of(counts)
        folds = make_folds("m", patients, number)
        assert len(folds) == min(number, len(counts))
        validated = [{patients[case] for case in fold["val"]} for fold in folds]
        assert sorted(p for fold in validated for p in fold) == sorted(set(patients.values()))
        sizes = [len(fold) for fold in validated]
        assert max(sizes) - min(sizes) <= 1

    def test_equals_nnunets_split_where_every_case_is_a_patient(self):
        from nnunetv2.utilities.crossval_split import generate_crossval_split

        cases = [f"case_{i:02d}" for i in range(13)]
        assert make_folds("m", {case: case for case in cases}, 5) == generate_crossval_split(cases)

    def test_splits_a_member_beside_others_with_a_single_fold_too(self):
        cases = {f"case_{i}": f"case_{i}" for i in range(10)}
        assert len(make_folds("m", cases, 1)[0]["val"]) == 2

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.frozensets(st.sampled_from("abcd"), min_size=1), min_size=2, max_size=14),
        st.integers(2, 6),
    )
    def test_trains_on_every_label_in_every_fold(self, sets, number):
        labels = {f"p{index:02d}": of_patient for index, of_patient in enumerate(sets)}
        counts = Counter(label for of_patient in sets for label in of_patient)
        folds = make_folds("m", {name: name for name in labels}, number, labels=labels)
        assert all(fold["train"] and fold["val"] for fold in folds)
        if all(any(counts[label] == 1 for label in of_patient) for of_patient in sets):
            return  # whoever is validated takes a label along
        for fold in folds:
            assert {label for name in fold["train"] for label in labels[name]} == set(counts)
            assert sorted(set(fold["train"]) | set(fold["val"])) == sorted(labels)

    @pytest.mark.parametrize("patients", [10, 25])
    def test_validates_every_label_in_every_fold_where_there_are_enough(self, patients):
        kinds = [frozenset("a"), frozenset("b")]
        labels = {f"p{index:02d}": kinds[index >= patients // 2] for index in range(patients)}
        folds = make_folds("m", {name: name for name in labels}, 5, labels=labels)
        assert [{label for name in fold["val"] for label in labels[name]} for fold in folds] == [{"a", "b"}] * 5
        assert sorted(name for fold in folds for name in fold["val"]) == sorted(labels)

    def test_never_validates_the_only_patient_of_a_label(self):
        labels = {"p0": frozenset("ab"), **{f"p{index}": frozenset("a") for index in range(1, 6)}}
        folds = make_folds("m", {name: name for name in labels}, 5, labels=labels)
        assert sorted(name for fold in folds for name in fold["val"]) == ["p1", "p2", "p3", "p4", "p5"]

    def test_refuses_a_member_with_one_patient(self):
        with pytest.raises(HermesError, match=r"member liver has one patient only \(p0\)"):
            make_folds("liver", {"p0_0": "p0", "p0_1": "p0"}, 5)


class TestJoinFolds:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=8), min_size=1, max_size=4), st.data())
    def test_keeps_every_member_in_both_halves_and_every_patient_whole(self, members, data):
        patients = [patients_of(counts) for counts in members]
        own = []
        for index, of_case in enumerate(patients):
            if data.draw(st.booleans()):
                own.append(make_folds(str(index), of_case, data.draw(st.integers(2, 7))))
            else:
                own.append(None)
        number = number_of_folds(own)
        assert number == max((len(folds) for folds in own if folds), default=5)
        folds = [
            make_folds(str(index), of_case, number) if of_member is None else of_member
            for index, (of_case, of_member) in enumerate(zip(patients, own, strict=True))
        ]
        identifiers = [
            {case: [f"{index}__{case}__T1", f"{index}__{case}__T2"] for case in of_case}
            for index, of_case in enumerate(patients)
        ]
        patient = {
            name: (index, of_case[case])
            for index, of_case in enumerate(patients)
            for case, names in identifiers[index].items()
            for name in names
        }
        joined = join_folds(folds, identifiers, number)
        assert len(joined) == number
        for fold in joined:
            train, val = ({patient[name] for name in fold[half]} for half in ("train", "val"))
            assert not train & val
            for half in (train, val):
                assert {index for index, _ in half} == set(range(len(members)))
            assert sorted(fold["train"] + fold["val"]) == sorted(patient)

    def test_reuses_the_folds_of_a_member_with_fewer(self):
        two = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
        three = [{"train": ["x", "y"], "val": ["z"]}, {"train": ["y", "z"], "val": ["x"]}] * 2
        joined = join_folds([two, three[:3]], [{"a": ["a"], "b": ["b"]}, {"x": ["x"], "y": ["y"], "z": ["z"]}], 3)
        assert [fold["val"] for fold in joined] == [["b", "z"], ["a", "x"], ["b", "z"]]


class TestReadOwnFolds:
    def read(self, tmp_path: Path, splits: object):
        path = tmp_path / "splits_final.json"
        path.write_text(json.dumps(splits))
        return read_own_folds(path, {"p1_a": "p1", "p1_b": "p1", "p2_a": "p2"})

    def test_returns_the_folds_of_the_file(self, tmp_path):
        splits = [{"train": ["p1_a", "p1_b"], "val": ["p2_a"]}]
        assert self.read(tmp_path, splits) == splits

    @pytest.mark.parametrize(
        ("splits", "message"),
        [
            (
                [{"train": ["p1_a", "p3_a"], "val": ["p2_a"]}],
                r"fold 0: train names p3_a, which the data set does not have",
            ),
            ([{"train": ["p1_a"], "val": ["p1_b", "p2_a"]}], r"fold 0: cases of patient p1 are in both train and val"),
            ([{"train": ["p1_a"], "val": []}], r"fold 0: val is empty"),
            ([{"train": ["p1_a"], "val": ["p1_a"]}], r"fold 0: p1_a in both train and val"),
            ([], r"must be a list of folds"),
            ({"train": ["p1_a"]}, r"must be a list of folds"),
            ([{"train": ["p1_a"]}], r"must be a list of folds"),
        ],
    )
    def test_refuses_folds_that_cannot_be_used(self, tmp_path, splits, message):
        with pytest.raises(HermesError, match=message):
            self.read(tmp_path, splits)
