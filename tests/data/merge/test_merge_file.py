import re
from dataclasses import fields
from pathlib import Path

import pytest

from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge, read_merge_file
from hermes_nnunet.errors import HermesError
from hermes_nnunet.modalities import KNOWN_MODALITIES

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "merge.md"

EVERYTHING = r"""
name: HeadHeart
into: 900
new_modalities: [DIXON]
members:
  - dataset: 301
    modality: CT
    name: cord
    labels: {brainstem: stem, mandible: null}
    sampling_weight: 4
    patient_pattern: '(hn_\d+)'
    absent: [Spine, lesion]
  - dataset: Dataset041_Brain
    channel: FLAIR
    modality: FLAIR
  - dataset: 042
    channels: {T1: T1, 1: DIXON}
    absent: others
  - dataset: 43
    modality: {T1: '_t1(in|out)$', T2: '_t2$'}
shared_tasks:
  stem: [cord/stem, Brain/brainstem]
may_overlap:
  - [stem, medulla, pons]
"""


@pytest.fixture
def read(tmp_path):
    def call(text: str, **arguments) -> MergeSpecification:
        path = tmp_path / "merge.yaml"
        path.write_text(text)
        return read_merge_file(path, **arguments)

    return call


class TestKeys:
    def test_become_the_specification(self, read):
        assert read(EVERYTHING) == MergeSpecification(
            name="HeadHeart",
            into=900,
            new_modalities=("DIXON",),
            members=(
                MemberSpecification(
                    301,
                    "CT",
                    name="cord",
                    labels={"brainstem": "stem", "mandible": None},
                    sampling_weight=4,
                    patient_pattern=r"(hn_\d+)",
                    absent=("Spine", "lesion"),
                ),
                MemberSpecification("Dataset041_Brain", "FLAIR", channel="FLAIR"),
                MemberSpecification(42, channels={"T1": "T1", 1: "DIXON"}, absent="others"),
                MemberSpecification(43, {"T1": "_t1(in|out)$", "T2": "_t2$"}),
            ),
            shared_tasks={"stem": ("cord/stem", "Brain/brainstem")},
            may_overlap=(("stem", "medulla", "pons"),),
        )

    def test_give_way_to_the_command_line(self, read):
        merging = read(EVERYTHING, name="Other", into=901, new_modalities=["TOF"])
        assert (merging.name, merging.into, merging.new_modalities) == ("Other", 901, ("DIXON", "TOF"))

    def test_may_leave_name_and_id_to_the_command_line(self, read):
        merging = read("members: [{dataset: 1, modality: CT}]", name="Other", into=901)
        assert merging.dataset_name == "Dataset901_Other"

    @pytest.mark.parametrize("number", ["41", "041", "049", "'041'"])
    def test_read_ids_as_folders_are_numbered(self, read, number):
        merging = read(f"{{name: A, into: {number}, members: [{{dataset: {number}, modality: CT}}]}}")
        assert merging.into == merging.members[0].dataset == int(number.strip("'"))


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("membres: []", r"unknown key 'membres' \(did you mean 'members'\?\): the keys here are name, into,"),
            ("name: A\ninto: 1\n", "members is missing"),
            ("name: A\ninto: 1\nmembers: {1: CT}", "members must be a list of data sets"),
            ("into: 1\nmembers: [{dataset: 1, modality: CT}]", "name is missing: .*--name and --into give these two"),
            ("name: A\nmembers: [{dataset: 1, modality: CT}]", "into is missing"),
            (
                "name: A\ninto: x\nmembers: [{dataset: 1, modality: CT}]",
                "into must be the collection's id, such as 900, not 'x'",
            ),
            (
                "name: 5\ninto: 1\nmembers: [{dataset: 1, modality: CT}]",
                r"name must be a word \(put it in quotes\), not 5",
            ),
            ("- a", r"must be keys with values, not \['a'\]"),
            ("", "is empty: give --members"),
            ("# nothing", "must be keys with values, not None"),
            ("name: [", "is not valid YAML: .*line 1"),
            ("name: A\nname: B", "is not valid YAML: key 'name' stands twice"),
            ("name: !!python/object/apply:os.getcwd []", "is not valid YAML: could not determine a constructor"),
        ],
    )
    def test_in_the_file_are_told(self, read, text, message):
        with pytest.raises(HermesError, match=rf"merge\.yaml.*{message}") as error:
            read(text)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("member", "message"),
        [
            ("modality: CT", r"members\[0\]: dataset is missing"),
            ("dataset: 1", r"merge\.yaml: member 1 has no modality"),
            ("{dataset: 1, modalty: CT}", r"members\[0\]: unknown key 'modalty' \(did you mean 'modality'\?\)"),
            ("{dataset: 1, modality: 5}", r"members\[0\]\.modality must be a word, or map .*, not 5"),
            ("{dataset: 1, modality: {}}", "modality must be a word, or map each modality to a pattern"),
            ("{dataset: 1, modality: {T1: 5}}", "modality must be a word, or map .* not {'T1': 5}"),
            ("{dataset: 1, modality: {T1: '('}}", r"pattern of modality T1 '\(' of member 1 is not a regular expr"),
            ("{dataset: 1, modality: {T1: a}, channels: {T1: T1}}", "has channels beside channel or modality"),
            (
                "{dataset: 1, modality: CT, sampling_weight: much}",
                "sampling_weight must be a number above 0, not 'much'",
            ),
            (
                "{dataset: 1, modality: CT, sampling_weight: -1}",
                r"members\[0\]\.sampling_weight must be a number above 0, not -1",
            ),
            (
                "{dataset: 1, modality: CT, channel: [1]}",
                r"members\[0\]\.channel must be the index or the name of a channel, not \[1\]",
            ),
            ("{dataset: 1, channels: [T1, T2]}", "channels must be a map of each channel to its modality"),
            ("{dataset: 1, channels: {T1: 5}}", "channels must be a map of each channel .* not {'T1': 5}"),
            ("{dataset: 1, channels: {}}", "channels of member 1 is empty"),
            ("{dataset: 1, channels: {0: T1, 1: T1}}", "name the modality T1 2 times"),
            ("{dataset: 1, modality: CT, channels: {T1: T1}}", "has channels beside channel or modality"),
            ("{dataset: 1, modality: CT, labels: [liver]}", "labels must be a map of own labels to new names"),
            (
                "{dataset: 1, modality: CT, absent: liver}",
                "absent must be a list of names, or the word others, not 'li",
            ),
            ("{dataset: 1, modality: CT, absent: [5]}", r"absent must be a list of names, .* not \[5\]"),
            (
                "{dataset: 1, modality: CT, labels: {no: liver}}",
                r"labels must be a map .*\(put words such as no in quotes\), not {False: 'liver'}",
            ),
        ],
    )
    def test_in_a_member_are_told(self, read, member, message):
        with pytest.raises(HermesError, match=message):
            read(f"name: A\ninto: 1\nmembers:\n  - {member}")

    def test_in_shared_tasks_are_told(self, read):
        with pytest.raises(HermesError, match=r"shared_tasks\.liver must be a list of words, not 'a/liver'"):
            read("name: A\ninto: 1\nmembers: [{dataset: 1, modality: CT}]\nshared_tasks: {liver: a/liver}")

    @pytest.mark.parametrize("groups", ["[a, b]", "{a: b}", "[[a, 5]]", "a"])
    def test_in_may_overlap_are_told(self, read, groups):
        with pytest.raises(
            HermesError, match=r"merge\.yaml: may_overlap must be a list of lists of names, for example"
        ):
            read(f"name: A\ninto: 1\nmembers: [{{dataset: 1, modality: CT}}]\nmay_overlap: {groups}")

    def test_in_the_path_are_told(self, tmp_path):
        with pytest.raises(HermesError, match=r"no\.yaml does not exist"):
            read_merge_file(tmp_path / "no.yaml")


def test_example_of_the_documentation_merges(raw, read):
    raw.add(
        "Dataset301_HeadNeckCord", {"background": 0, "brainstem": 1, "mandible": 2}, cases=["hn_1a", "hn_2a", "hn_3a"]
    )
    raw.add("Dataset041_Brain", {"background": 0, "lesion": 1, "brainstem": 2}, channels=["T1", "FLAIR"])
    raw.add("Dataset042_Spine", channels=["T1", "DIXON"])
    raw.add("Dataset043_Belly", cases=["1_t1in", "1_t1out", "1_t2", "2_t1in", "2_t2"])
    example = re.search(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)[1]
    collection = merge(read(example), dry_run=True).collection
    assert collection.modalities == ("CT", "FLAIR", "T1", "DIXON", "T2", "unknown")
    assert "stem" in collection.task_names


@pytest.mark.parametrize(
    ("text", "shared"), [("", False), ("shared_patients: true", True), ("shared_patients: [A, B]", ("A", "B"))]
)
def test_shared_patients_are_all_or_some(read, text, shared):
    assert read(f"name: A\ninto: 1\nmembers: [{{dataset: 1, modality: CT}}]\n{text}").shared_patients == shared


def test_shared_patients_that_are_no_members_are_told(read, raw):
    raw.add("Dataset001_Belly")
    read_file = read("name: A\ninto: 900\nmembers: [{dataset: 1, modality: CT}]\nshared_patients: [Bely, Belly]")
    with pytest.raises(HermesError, match=r"shared_patients names 'Bely' \(did you mean 'Belly'\?\)"):
        merge(read_file, dry_run=True)


def test_documentation_names_every_key_and_modality():
    text = DOCUMENTATION.read_text()
    assert f": {', '.join(KNOWN_MODALITIES)}." in text
    for key in [field.name for kind in (MergeSpecification, MemberSpecification) for field in fields(kind)]:
        assert f"`{key}`" in text
