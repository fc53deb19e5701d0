import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.collection import Case, Collection
from hermes_nnunet.data.merge import MemberSpecification, read_merge_file
from hermes_nnunet.data.merge.annotation import values_not_annotated
from hermes_nnunet.data.merge.own_labels import read_own_labels
from hermes_nnunet.data.merge.report import result_lines
from hermes_nnunet.errors import HermesError

REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def belly(**said) -> MemberSpecification:
    return MemberSpecification(1, "CT", **said)


@pytest.fixture
def add_belly(raw):
    """Liver 1 and spleen 2; cases a and b hold both, c, d and e the liver only."""

    def add(**entries):
        folder = raw.add("Dataset001_Belly", **entries)
        for case in "cde":
            raw.write_label(folder, f"{case}.nii.gz", [0, 1])
        return folder

    return add


def annotated(result):
    return {name.partition("__")[2]: case.annotated for name, case in result.collection.cases.items()}


SOME = {"a": None, "b": None, "c": ("Belly/liver",), "d": ("Belly/liver",), "e": ("Belly/liver",)}


class TestWaysToSayIt:
    def test_patterns(self, add_belly, merge_members):
        add_belly()
        assert annotated(merge_members(belly(annotated={"[cde]": ["liver"], "a": ["spleen", "liver"]}))) == SOME

    def test_a_table(self, add_belly, merge_members, tmp_path):
        add_belly()
        table = tmp_path / "cases.csv"
        table.write_text("case,labels\nc,liver\nd,liver\na,liver;spleen\n\ne, liver\n")
        assert annotated(merge_members(belly(annotated=str(table)))) == SOME

    def test_the_members_dataset_json(self, add_belly, merge_members):
        add_belly(hermes_annotated={case: ["liver"] for case in "cde"})
        assert annotated(merge_members(belly())) == SOME

    def test_what_the_files_show_on_purpose_with_a_warning(self, add_belly, merge_members):
        add_belly()
        result = merge_members(belly(annotated="shown"))
        assert annotated(result) == SOME
        (warning,) = (line for line in result_lines(result) if line.startswith("warning: annotated of member Belly"))
        assert "truly absent" in warning

    def test_what_dataset_json_says_of_a_case_needs_no_voxel(self, add_belly, merge_members):
        add_belly(hermes_annotated={"c": ["liver", "spleen"]})
        assert annotated(merge_members(belly(annotated="shown"))) == {**SOME, "c": None}

    def test_a_merge_file_names_tables_beside_it(self, tmp_path):
        file = tmp_path / "merge.yaml"
        file.write_text(
            "{name: All, into: 900, members: [{dataset: 1, modality: CT, annotated: cases.csv}, {dataset: 2, modality: "
            "CT, annotated: shown, unlabelled: ['u_*']}, {dataset: 3, modality: CT, annotated: {'a*': [x]}}, {dataset: "
            "4, modality: CT, unlabelled: true}]}"
        )
        members = read_merge_file(file).members
        assert [member.annotated for member in members] == [str(tmp_path / "cases.csv"), "shown", {"a*": ("x",)}, None]
        assert [member.unlabelled for member in members] == [False, ("u_*",), False, True]

    def test_regions(self, raw, merge_members):
        folder = raw.add("Dataset001_Belly", REGIONS, regions_class_order=[1, 2, 3])
        raw.write_label(folder, "a.nii.gz", [0, 1])
        raw.write_label(folder, "b.nii.gz", [0, 2])  # there is no core outside the whole
        result = merge_members(belly(annotated={"a": ["whole"], "b": ["core"]}))
        assert annotated(result)["a"] == ("Belly/whole",)
        assert annotated(result)["b"] == ("Belly/core",)

    def test_labels_that_are_renamed_or_left_out_have_their_own_names(self, raw, merge_members):
        raw.add("Dataset001_Belly", {"background": 0, "liver": 1, "spleen": 2, "bone": 3})
        folder = raw.path / "Dataset001_Belly"
        raw.write_label(folder, "a.nii.gz", [0, 1, 3])
        said = belly(labels={"liver": "hepar", "bone": None}, annotated={"a": ["liver"]})
        assert annotated(merge_members(said))["a"] == ("Belly/hepar",)


class TestCollection:
    def test_says_so_in_the_hermes_block_of_these_cases_only(self, add_belly, merge_members, read_json):
        add_belly()
        folder = merge_members(belly(annotated={"c": ["liver"]})).folder
        cases = read_json(folder / "dataset.json")["hermes"]["cases"]
        assert cases["Belly__c"] == {"member": "Belly", "modality": "CT", "patient": "c", "annotated": ["Belly/liver"]}
        assert cases["Belly__a"] == {"member": "Belly", "modality": "CT", "patient": "a"}
        collection = Collection.from_dataset_json(read_json(folder / "dataset.json"), "test")
        assert collection.context_of("Belly__c").tasks == ("Belly/liver",)
        assert collection.context_of("Belly__a").tasks == ("Belly/liver", "Belly/spleen")

    def test_is_the_same_as_ever_where_all_is_annotated(self, add_belly, merge_members):
        folder = add_belly()
        result = merge_members(belly())
        before = {path.name: path.read_bytes() for path in result.folder.glob("*.json")}
        assert b"annotated" not in b"".join(before.values())
        content = json.loads((folder / "dataset.json").read_text())
        content["hermes_annotated"] = {"a": ["liver", "spleen"]}
        (folder / "dataset.json").write_text(json.dumps(content))
        assert merge_members(belly()).is_up_to_date
        assert {path.name: path.read_bytes() for path in result.folder.glob("*.json")} == before

    def test_a_damaged_block_is_refused(self, add_belly, merge_members, read_json):
        add_belly()
        content = read_json(merge_members(belly()).folder / "dataset.json")
        content["hermes"]["cases"]["Belly__a"]["annotated"] = ["Belly/kidney"]
        with pytest.raises(HermesError, match=r"Belly__a\.annotated must name tasks of member Belly"):
            Collection.from_dataset_json(content, "test")

    def test_tasks_of_one_member_exclude_each_other_where_a_case_annotates_one_alone(self, add_belly, merge_members):
        add_belly()
        assert merge_members(belly()).collection.excludes == {}
        partly = merge_members(belly(annotated={"c": ["liver"]}), into=901).collection
        assert partly.excludes == {"Belly/liver": ("Belly/spleen",), "Belly/spleen": ("Belly/liver",)}

    def test_the_summary_counts_cases_and_says_what_folds_lack(self, add_belly, merge_members):
        add_belly()
        lines = result_lines(merge_members(belly(annotated={"[cde]": ["liver"]})))
        assert "annotated in some of 5 labelled cases of Belly: spleen 2" in lines
        assert any("no validation case of Belly annotates Belly/spleen in fold" in line for line in lines)

    def test_folds_train_and_validate_every_label(self, raw, merge_members):
        raw.add("Dataset001_Belly", cases=[f"c{number:02d}" for number in range(20)])
        for number in range(10):
            raw.write_label(raw.path / "Dataset001_Belly", f"c{number:02d}.nii.gz", [0, 1])
        result = merge_members(belly(annotated={"c0*": ["liver"]}))
        assert result.gaps == ()
        assert [sum(case < "Belly__c10" for case in fold["val"]) for fold in result.folds] == [2] * 5


class TestSecondMerge:
    def test_reads_the_files_again_of_which_something_else_is_said(self, add_belly, merge_members):
        add_belly()
        merge_members(belly(annotated={"[cde]": ["liver"]}))
        assert merge_members(belly(annotated={"[cde]": ["liver"]})).is_up_to_date
        again = merge_members(belly(annotated={"[de]": ["liver"]}))
        assert again.changes["Belly"].changed == 1
        assert annotated(again) == {**SOME, "c": None}

    def test_refuses_what_a_file_holds_against_it(self, add_belly, merge_members):
        add_belly()
        merge_members(belly())
        with pytest.raises(HermesError, match=r"a\.nii\.gz holds 2 \(spleen\), which its case is said not to annotate"):
            merge_members(belly(annotated={"a": ["liver"]}))


class TestUnlabelled:
    def test_images_without_label_files_are_background_on_their_own_grid(self, raw, merge_members):
        raw.add("Dataset001_Belly")
        folder = raw.add("Dataset002_More", cases=("u", "v"), channels=("CT", "PET"))
        for path in (folder / "labelsTr").iterdir():
            path.unlink()
        result = merge_members(belly(), MemberSpecification(2, channels={0: "CT", 1: "PET"}, unlabelled=True))
        assert result.collection.cases["More__u__PET"] == Case("More", "PET", "u", ())
        assert result.collection.members["More"].tasks == ()
        written = nibabel.load(result.folder / "labelsTr" / "More__u__PET.nii.gz")
        assert not np.asanyarray(written.dataobj).any()
        assert written.shape == nibabel.load(folder / "imagesTr" / "u_0000.nii.gz").shape
        assert merge_members(
            belly(), MemberSpecification(2, channels={0: "CT", 1: "PET"}, unlabelled=True)
        ).is_up_to_date

    def test_are_only_trained_on(self, raw, merge_members):
        raw.add("Dataset001_Belly")
        raw.add("Dataset002_More", cases=("u", "v"))
        result = merge_members(belly(), MemberSpecification(2, "CT", unlabelled=True))
        for fold in result.folds:
            assert {"More__u", "More__v"} <= set(fold["train"])
            assert not any(case.startswith("More") for case in fold["val"])
        assert "cases of More without labels, trained on for their modality only: 2" in result_lines(result)
        assert any("label files of More that are not used" in note for note in result.notes)

    def test_a_dataset_json_without_labels_will_do(self, raw, merge_members, read_json):
        raw.add("Dataset001_Belly")
        folder = raw.add("Dataset002_More")
        content = read_json(folder / "dataset.json")
        del content["labels"]
        (folder / "dataset.json").write_text(json.dumps(content))
        assert len(merge_members(belly(), MemberSpecification(2, "CT", unlabelled=True)).collection.cases) == 10

    def test_may_be_some_of_a_members_cases(self, add_belly, merge_members):
        folder = add_belly()
        (folder / "labelsTr" / "e.nii.gz").unlink()
        result = merge_members(belly(unlabelled=["e"], annotated={"[cd]": ["liver"]}))
        assert annotated(result) == {**SOME, "e": ()}
        # Drawn a tenth as often as a labelled case.
        assert result.collection.members["Belly"].sampling_weight == pytest.approx((4 + 0.1) ** 0.5)

    def test_a_case_may_lose_its_labels(self, add_belly, merge_members):
        add_belly()
        merge_members(belly())
        again = merge_members(belly(unlabelled=["e"]))
        assert again.changes["Belly"].changed == 1
        assert not np.asanyarray(nibabel.load(again.folder / "labelsTr" / "Belly__e.nii.gz").dataobj).any()

    def test_images_of_one_case_must_lie_on_one_grid(self, raw, refused):
        raw.add("Dataset001_Belly")
        folder = raw.add("Dataset002_More", cases=("u", "v"), channels=("CT", "PET"))
        raw.write_image(folder, "u_0001.nii.gz", shape=(3, 3, 3))
        message = refused(belly(), MemberSpecification(2, channels={0: "CT", 1: "PET"}, unlabelled=True))
        assert "u_0001.nii.gz" in message
        assert "put both on one grid" in message


class TestBadInput:
    def test_a_pattern_without_a_case(self, add_belly, refused):
        add_belly()
        assert "annotated of member Belly: pattern 'x*' matches no case" in refused(belly(annotated={"x*": ["liver"]}))

    @pytest.mark.parametrize("key", ["hermes_annotated", "csv"])
    def test_a_case_that_is_not_there(self, key, add_belly, refused, tmp_path):
        table = tmp_path / "cases.csv"
        table.write_text("case,labels\nf,liver\n")
        add_belly(**({"hermes_annotated": {"f": ["liver"]}} if key != "csv" else {}))
        message = refused(belly(annotated=str(table) if key == "csv" else None))
        assert "names the case 'f'" in message
        assert "which member Belly does not have" in message
        assert (f"{table}, line 2" if key == "csv" else "hermes_annotated of ") in message

    def test_a_label_that_is_not_there(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"c": ["livr"]}))
        assert "pattern 'c' under annotated of member Belly names the label 'livr' (did you mean 'liver'?)" in message

    def test_patterns_that_contradict_each_other(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"[cd]": ["liver"], "c*": ["spleen"]}))
        assert (
            "says that case c annotates liver, and pattern 'c*' under annotated of member Belly says spleen" in message
        )

    def test_a_case_that_annotates_nothing(self, add_belly, raw, refused):
        folder = add_belly()
        assert "case c of member Belly annotates nothing (pattern 'c'" in refused(belly(annotated={"c": []}))
        raw.write_label(folder, "d.nii.gz", [0])
        message = refused(belly(annotated="shown"))
        assert "case d of member Belly annotates nothing" in message
        assert "name its labels, or say under unlabelled that it has none" in message

    def test_a_case_that_annotates_what_is_left_out(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"c": ["liver"]}, labels={"liver": None}))
        assert "case c of member Belly annotates only liver, which labels: leaves out" in message

    def test_a_label_that_no_case_annotates(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"*": ["liver"]}))
        assert "no case annotates the label spleen of member Belly" in message

    def test_a_value_that_its_case_does_not_annotate(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"a": ["liver"]}))
        assert "a.nii.gz holds 2 (spleen), which its case is said not to annotate" in message

    @pytest.mark.parametrize(
        ("annotated", "refused_values"),
        [
            (("whole",), {2: "core", 3: "enhancing"}),
            (("core",), {1: "whole", 3: "enhancing"}),
            (("enhancing",), {1: "whole", 2: "core"}),
            (("whole", "enhancing"), {2: "core"}),
            (("whole", "core"), {3: "enhancing"}),
        ],
    )
    def test_values_of_regions_within_each_other(self, annotated, refused_values):
        labels = read_own_labels({"labels": REGIONS, "regions_class_order": [1, 2, 3]}, "test")
        assert values_not_annotated(labels, annotated, ()) == refused_values

    def test_a_value_of_which_others_say_less_in_two_ways(self):
        regions = {"background": 0, "all": [1, 2, 3], "left": [1, 3], "right": [2, 3]}
        labels = read_own_labels({"labels": regions, "regions_class_order": [1, 1, 2]}, "test")
        assert values_not_annotated(labels, ("all",), ()) == {3: "right"}

    def test_values_of_labels_that_are_left_out_are_allowed(self):
        labels = read_own_labels({"labels": {"background": 0, "liver": 1, "spleen": 2, "bone": 3}}, "test")
        assert values_not_annotated(labels, ("liver",), ("bone",)) == {2: "spleen"}

    def test_a_case_both_unlabelled_and_annotated(self, add_belly, refused):
        add_belly()
        message = refused(belly(annotated={"c": ["liver"]}, unlabelled=["c"]))
        assert "says that case c annotates liver, and unlabelled of member Belly that it has no labels" in message

    def test_unlabelled_patterns_without_a_case(self, add_belly, refused):
        add_belly()
        assert "unlabelled of member Belly: pattern 'u*' matches no case" in refused(belly(unlabelled=["u*"]))

    def test_a_collection_without_labels(self, add_belly, refused):
        add_belly()
        assert "all members are unlabelled, or labelled by a model" in refused(belly(unlabelled=True))

    def test_a_missing_label_file_of_a_case_that_should_have_one(self, add_belly, refused):
        (add_belly() / "labelsTr" / "e.nii.gz").unlink()
        assert "e.nii.gz is missing (every case needs" in refused(belly())

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("name,labels\nc,liver\n", "the first line of"),
            ("case,labels\nc,liver,spleen\n", "line 2 has 3 columns"),
            (None, "cannot be read"),
        ],
    )
    def test_a_table_of_another_form(self, content, expected, add_belly, refused, tmp_path):
        add_belly()
        table = tmp_path / "cases.csv"
        if content is not None:
            table.write_text(content)
        message = refused(belly(annotated=str(table)))
        assert expected in message
        assert "case_1,liver;spleen" in message

    def test_a_dataset_json_of_another_form(self, add_belly, refused):
        add_belly(hermes_annotated={"c": "liver"})
        assert "hermes_annotated.c must be a list, not 'liver': give each case a list of labels" in refused(belly())

    def test_a_record_of_pseudo_labels_of_another_form(self, add_belly, refused):
        add_belly(hermes_pseudo_labels=True)
        assert "hermes_pseudo_labels must be keys with values, not True: take the entry out" in refused(belly())

    @pytest.mark.parametrize(("key", "other"), [("labels", {"liver": None}), ("annotated", {"c": ["liver"]})])
    def test_an_unlabelled_member_with_labels(self, key, other):
        with pytest.raises(HermesError, match=f"member 1 has {key} though it is unlabelled"):
            belly(unlabelled=True, **{key: other})

    def test_an_unlabelled_member_of_which_everything_is_said_to_be_absent(self):
        with pytest.raises(HermesError, match="absent of member 1 is 'others' though it is unlabelled"):
            belly(unlabelled=True, absent="others")

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("annotated: [liver]", "annotated must be a map of patterns of cases' names to lists of labels"),
            ("annotated: {'a*': liver}", "annotated must be a map of patterns of cases' names to lists of labels"),
            ("unlabelled: some", "unlabelled must be true, false or a list of patterns"),
        ],
    )
    def test_a_merge_file_of_another_form(self, line, expected, tmp_path):
        file = tmp_path / "merge.yaml"
        file.write_text(f"name: All\ninto: 900\nmembers:\n  - dataset: 1\n    modality: CT\n    {line}\n")
        with pytest.raises(HermesError, match=expected):
            read_merge_file(file)
