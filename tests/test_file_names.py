"""A name is never a path, wherever it enters."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.cli.main import main
from hermes_nnunet.collection import Collection
from hermes_nnunet.core.paper.members import read_member_table
from hermes_nnunet.data.conversion.converter import SourceCase
from hermes_nnunet.data.conversion.converting import _check_names
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import (
    LONGEST_FILE_NAME,
    LONGEST_NAME,
    check_case_name,
    check_dataset_name,
    check_file_ending,
    check_file_name,
    check_task_name,
    escaped,
)
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.finding import find_cases
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.views.write import write_views

BAD = {
    "parent": "../../x",
    "absolute": "/tmp/x",
    "inside": "a/../../x",
    "backslash": "..\\x",
    "dots": "..",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape code": "a\x1b[2Jb",
    "right to left": "a\u202egz.iin",
    "lone surrogate": "a\udc80b",
    "too long": "x" * 300,
    "empty": "",
}
SAYS = "cannot be part of a file's name|no file can be named by it|use letters, digits|must not be empty"
# Of files with a schema.
SAYS_OF_FILES = rf"{SAYS}|must be text without control characters|half of a character|must be a name or a list of names"


@pytest.fixture(params=BAD.values(), ids=BAD)
def bad(request):
    return request.param


@given(st.text(max_size=20) | st.integers(190, 210).map(lambda length: length * "x"))
def test_what_is_let_through_is_one_visible_name(name):
    try:
        check_file_name(name, "case")
    except HermesError as refused:
        message = str(refused)
    else:
        message = None
    if message is not None:
        assert message.isprintable()
        return
    assert Path("folder", name).parent == Path("folder")
    assert name.isprintable()
    assert not name.startswith(".")
    assert len(name.encode()) <= LONGEST_NAME


@pytest.mark.parametrize("name", ["case_1", "Fall 3", "症例12", "a.b+c-d", "x" * LONGEST_NAME])
def test_ordinary_names_are_let_through(name):
    assert check_file_name(name, "case") == name
    assert check_task_name(f"m/{name[2:]}") == f"m/{name[2:]}"


def test_a_case_may_have_as_long_a_name_as_a_file():
    assert check_case_name("x" * LONGEST_FILE_NAME)
    with pytest.raises(HermesError, match="longer than 255 bytes"):
        check_case_name("x" * (LONGEST_FILE_NAME + 1))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_ordinary_endings_are_let_through(ending):
    assert check_file_ending(ending, "file_ending") == ending


@pytest.mark.parametrize("ending", ["", ".", "nii.gz", "/../../x.nii.gz", "./x", "..", None, 3, ".\n"])
def test_other_endings_are_not(ending):
    with pytest.raises(HermesError):
        check_file_ending(ending, "file_ending")


@pytest.mark.parametrize("name", ["Dataset3_x", "Dataset303_", "x", "Dataset303_/../../x", "Dataset303_\n", 303, None])
def test_what_nnunet_would_not_find_is_no_data_set(name):
    with pytest.raises(HermesError):
        check_dataset_name(name, "data set")


@pytest.mark.parametrize(
    ("text", "seen"),
    [("a\x1b[31mb", "a\\x1b[31mb"), ("a\udc80", "a\\udc80"), ("a\nb", "a\nb"), ("é\u202e", "é\\u202e"), ("ok", "ok")],
)
def test_what_cannot_be_seen_is_shown_escaped(text, seen):
    assert escaped(text) == seen


def _rename_key(content, old, new):
    content[new] = content.pop(old)


# Entries of a hermes block, and how a bad name gets there.
OF_BOTH_BLOCKS = {
    "member": lambda block, bad: _rename_key(block["members"], "brain", bad),
    "name of member": lambda block, bad: block["members"]["brain"].update(name=bad),
    "dataset_name": lambda block, bad: block["members"]["brain"].update(dataset_name=bad),
    "dataset_name with id": lambda block, bad: block["members"]["brain"].update(dataset_name=f"Dataset012_x/{bad}"),
    "task of member": lambda block, bad: block["members"]["brain"].update(tasks=["brain/whole", bad]),
    "file_ending": lambda block, bad: block["members"]["brain"].update(file_ending=bad),
    "modality": lambda block, bad: block.update(modalities=["CT", bad, "unknown"]),
}
OF_DATASET_JSON = {
    "task": lambda block, bad: block["tasks"][0].update(name=bad),
    "case": lambda block, bad: _rename_key(block["cases"], "brain__x", bad),
}
OF_PLANS = {"task": lambda block, bad: block.update(tasks=[*block["tasks"], bad])}


class TestModels:
    @pytest.mark.parametrize("put", (OF_BOTH_BLOCKS | OF_DATASET_JSON).values(), ids=OF_BOTH_BLOCKS | OF_DATASET_JSON)
    def test_dataset_json(self, dataset_json, put, bad):
        put(dataset_json["hermes"], bad)
        with pytest.raises(HermesError, match=r"cannot be part|can be named|no ending"):
            Collection.from_dataset_json(dataset_json, "here")

    @pytest.mark.parametrize("put", (OF_BOTH_BLOCKS | OF_PLANS).values(), ids=OF_BOTH_BLOCKS | OF_PLANS)
    def test_plans(self, plans, put, bad):
        put(plans["hermes"], bad)
        with pytest.raises(HermesError, match=r"cannot be part|can be named|no ending"):
            HermesPlans.from_plans(plans)

    @pytest.mark.parametrize("key", ["dataset_name", "plans_name"])
    def test_folder_of_a_training(self, plans, key, bad):
        with pytest.raises(HermesError, match=f"{key} of the plans"):
            HermesPlans.from_plans({**plans, key: bad})

    def test_views_write_nothing_outside(self, plans, dataset_json, tmp_path, bad):
        results = tmp_path / "deep" / "deeper" / "results"
        model = results / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres"
        (model / "fold_0").mkdir(parents=True)
        (model / "fold_0" / "checkpoint_final.pth").write_text("weights")
        for content in (plans, dataset_json):
            content["hermes"]["members"]["brain"]["dataset_name"] = bad
        for name, content in {"plans.json": plans, "dataset.json": dataset_json}.items():
            (model / name).write_text(json.dumps(content))
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(HermesError):
            write_views(model, results, [0])
        assert sorted(tmp_path.rglob("*")) == before


class TestMerge:
    @pytest.fixture
    def raw(self, tmp_path, monkeypatch):
        monkeypatch.setenv("nnUNet_raw", str(tmp_path))
        return tmp_path

    @pytest.mark.parametrize(
        "change",
        [
            lambda bad: {"name": bad},
            lambda bad: {"members": (MemberSpecification(1, "CT", name=bad),)},
            lambda bad: {"new_modalities": (bad,)},
            lambda bad: {"shared_tasks": {bad: ("a/x", "b/x")}},
        ],
        ids=["collection", "member", "modality", "shared task"],
    )
    def test_specification(self, change, bad):
        with pytest.raises(HermesError, match=SAYS):
            MergeSpecification(
                **{"name": "All", "into": 900, "members": (MemberSpecification(1, "CT"),), **change(bad)}
            )

    def test_case_and_label_of_a_member(self, raw, bad):
        folder = raw / "Dataset001_Belly"
        folder.mkdir()
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
        content["dataset"] = {name: {"images": ["x.nii.gz"], "label": "y.nii.gz"} for name in ("a", "b")}
        specification = MergeSpecification("All", 900, (MemberSpecification(1, "CT"),))
        for name in ("x.nii.gz", "y.nii.gz"):
            (folder / name).touch()
        of_case, of_label = copy.deepcopy(content), copy.deepcopy(content)
        of_case["dataset"][bad] = of_case["dataset"]["a"]
        of_label["labels"][bad] = 2
        for changed in (of_case, of_label):
            (folder / "dataset.json").write_text(json.dumps(changed))
            with pytest.raises(HermesError, match=SAYS_OF_FILES):
                merge(specification)
        assert [path.name for path in raw.iterdir()] == ["Dataset001_Belly"]

    def test_a_link_at_the_staging_folders_place_is_not_followed(self, raw):
        from hermes_nnunet.data.merge.staging import _make

        elsewhere = raw / "elsewhere"
        elsewhere.mkdir()
        (raw / ".Dataset900_All.merging").symlink_to(elsewhere)
        with pytest.raises(HermesError, match="is a link"):
            _make(raw / ".Dataset900_All.merging")
        assert list(elsewhere.iterdir()) == []


class TestImportedWeights:
    @pytest.mark.parametrize(
        "entry",
        [
            lambda bad: {bad: {"modality": "CT", "labels": ["liver"]}},
            lambda bad: {"abdomen": {"modality": "CT", "labels": ["liver"], "dataset": bad}},
            lambda bad: {"abdomen": {"modality": "CT", "labels": ["liver", bad]}},
            lambda bad: {"abdomen": {"modality": bad, "labels": ["liver"]}},
        ],
        ids=["member", "dataset", "label", "modality"],
    )
    def test_members_file(self, tmp_path, entry, bad):
        file = tmp_path / "members.yaml"
        file.write_text(json.dumps({"format_version": 1, "members": entry(bad)}))
        with pytest.raises(HermesError, match=SAYS_OF_FILES):
            read_member_table(file)

    def test_name_of_the_model(self, tmp_path, monkeypatch, bad, capsys):
        from nnunetv2.paths import nnUNet_results

        monkeypatch.setenv("nnUNet_results", str(tmp_path))
        assert nnUNet_results.is_set()
        assert main(["import-weights", "x.pth", "--into", "910", f"--name={bad}"]) == 1
        assert list(tmp_path.iterdir()) == []
        assert capsys.readouterr().err.removesuffix("\n").isprintable()


class TestCases:
    def test_to_predict(self, bad):
        with pytest.raises(HermesError, match=SAYS):
            FileSource(bad, (Path("x.nii.gz"),))

    @pytest.mark.parametrize("name", ["..nii.gz", "...nii.gz", "a\nb.nii.gz", "a\x1b[2Jb_0000.nii.gz"])
    def test_to_predict_from_a_file(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(HermesError, match=r"case '.*' (is a path|holds characters)"):
            find_cases(tmp_path / name)

    def test_to_convert(self, bad):
        with pytest.raises(HermesError, match=SAYS):
            _check_names([SourceCase(bad, (), None)])


def test_a_message_does_not_write_to_the_terminal(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "a\x1b[2J\udc80b")]) == 1
    message = capsys.readouterr().err
    assert "a\\x1b[2J\\udc80b" in message
    assert message.replace("\n", "").isprintable()


def test_a_name_that_is_no_text_can_be_printed(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    print("a\udc80")
    assert "a\\udc80" in capsys.readouterr().out


def test_a_case_named_by_dots_does_not_take_the_output_folder_with_it(tmp_path, capsys):
    """The file `..nii.gz` is the case `.`, whose folder of masks would be the output folder itself."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "..nii.gz").touch()
    with pytest.raises(HermesError, match=r"case '\.' is a path"):
        find_cases(tmp_path / "in" / "..nii.gz")
