"""Preprocessing a collection a case at a time: nnU-Net's own files, whole, and no more work than is missing."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from inline_pool import PoolOfNoProcess
from nnunetv2.preprocessing.preprocessors import default_preprocessor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

from hermes_nnunet.cli.main import main
from hermes_nnunet.core.engine import Pool
from hermes_nnunet.errors import CommandEndedError, HermesError
from hermes_nnunet.planning.preprocessing import collection as module
from hermes_nnunet.planning.preprocessing import one_case
from hermes_nnunet.planning.preprocessing.finished import changes_since, record_of
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

PLANS = "HermesSPlans"
CALL = ("preprocess", "900", "-plans_name", PLANS, "-c", "3d_fullres", "-np", "1")
CASES = ["abdomen__a", "abdomen__b", "abdomen__c", "brain__x", "brain__y"]


@pytest.fixture
def folder(plans, dataset_json, tmp_path, monkeypatch):
    """The collection of conftest in nnUNet_preprocessed, with its plans; images and labels are in nnUNet_raw."""
    # nnU-Net's own files differ in the order in which threads finish.
    monkeypatch.setenv("BLOSC_NTHREADS", "1")
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    raw, folder = (tmp_path / name / "Dataset900_Both" for name in ("raw", "preprocessed"))
    raw.mkdir(parents=True)
    folder.mkdir(parents=True)
    dataset_json["dataset"] = {case: {"images": [f"{case}_0000.nii.gz"], "label": f"{case}.nii.gz"} for case in CASES}
    rng = np.random.default_rng(0)
    for case in CASES:
        for name, voxels in (
            (f"{case}_0000.nii.gz", rng.normal(0, 500, (8, 9, 10)).astype(np.float32)),
            (f"{case}.nii.gz", np.resize(np.arange(2, dtype=np.uint8), (8, 9, 10))),
        ):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), raw / name)
    (raw / "dataset.json").write_text(json.dumps(dataset_json))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    (folder / f"{PLANS}.json").write_text(json.dumps(plans))
    return folder


@pytest.fixture
def images(folder, plans):
    return folder / plans["configurations"]["3d_fullres"]["data_identifier"]


@pytest.fixture
def done(monkeypatch):
    """Names of the cases that were preprocessed."""
    names = []
    preprocess_case = one_case.preprocess_case

    def counted(case):
        names.append(case.name)
        return preprocess_case(case)

    monkeypatch.setattr(module, "preprocess_case", counted)
    return names


def content(folder):
    """Every file that nnU-Net knows of, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".hermes_preprocessed" not in path.parts
    }


def test_files_are_those_of_nnunet_to_the_last_byte(folder, images, monkeypatch, capsys):
    context = SimpleNamespace(Pool=PoolOfNoProcess)
    monkeypatch.setattr(default_preprocessor.multiprocessing, "get_context", lambda _: context)
    DefaultPreprocessor.run(HermesPreprocessor(verbose=False), 900, "3d_fullres", PLANS, 1)
    stock = content(images)
    assert len(stock) == 3 * len(CASES)
    assert main(CALL) == 0
    assert content(images) == stock
    assert capsys.readouterr().out.splitlines()[-1] == f"5 cases preprocessed to {folder} (3d_fullres)"
    for case in CASES:
        raw = folder.parents[1] / "raw" / folder.name / f"{case}.nii.gz"
        copy = folder / "gt_segmentations" / f"{case}.nii.gz"
        assert copy.read_bytes() == raw.read_bytes()
        assert copy.stat().st_mtime_ns == raw.stat().st_mtime_ns


def test_nnunets_command_goes_the_same_way(folder, images, capsys):
    assert main(CALL) == 0
    ours, record = content(images), record_of(images).read_bytes()
    record_of(images).unlink()
    HermesPreprocessor(verbose=True).run(900, "3d_fullres", PLANS, 1)
    assert content(images) == ours
    assert record_of(images).read_bytes() == record
    assert capsys.readouterr().out.count("old shape") == len(CASES)


def test_its_processes_that_die_are_told_of_with_its_own_option(folder, monkeypatch):
    def die(*_, when_one_died, **__):
        raise HermesError(f"one died: {when_one_died}")

    monkeypatch.setattr("hermes_nnunet.core.engine.map_cases", die)
    with pytest.raises(CommandEndedError, match=r"one died: give it fewer processes \(-np\)"):
        HermesPreprocessor(verbose=False).run(900, "3d_fullres", PLANS, 2)


def test_so_are_the_copies_of_the_unknown_modality(folder, images):
    plans = json.loads((folder / f"{PLANS}.json").read_text())
    plans["hermes"]["unknown_copies"] = True
    (folder / f"{PLANS}.json").write_text(json.dumps(plans))
    assert main(CALL) == 0
    copies = images.with_name(f"{images.name}_unknown")
    assert sorted(path.stem for path in copies.glob("*.pkl")) == [case for case in CASES if case.startswith("abdomen")]


class TestContinue:
    def test_leaves_what_is_finished(self, folder, done, capsys):
        assert main(CALL) == 0
        assert done == CASES
        done.clear()
        assert main([*CALL, "--continue"]) == 0
        assert done == []
        assert "0 cases preprocessed" in capsys.readouterr().out.splitlines()[-1]

    @pytest.mark.parametrize("what", ["image", "label", "plans", "result", "gone", "stock"])
    def test_does_again_what_is_not_of_these_files_and_plans(self, folder, images, done, what, tmp_path):
        assert main(CALL) == 0
        whole = content(folder)
        done.clear()
        raw = tmp_path / "raw" / folder.name
        expected = ["abdomen__b"]
        if what in ("image", "label"):
            name = "abdomen__b_0000.nii.gz" if what == "image" else "abdomen__b.nii.gz"
            (raw / name).write_bytes((raw / name).read_bytes())
        elif what == "plans":
            plans = json.loads((folder / f"{PLANS}.json").read_text())
            plans["configurations"]["3d_fullres"]["spacing"] = [2.0, 2.0, 2.0]
            (folder / f"{PLANS}.json").write_text(json.dumps(plans))
            expected = CASES
        elif what == "gone":
            (images / "abdomen__b.pkl").unlink()
        else:  # nnU-Net has written it since
            (images / "abdomen__b.b2nd").write_bytes((images / "abdomen__b.b2nd").read_bytes())
        assert main([*CALL, "--continue"]) == 0
        assert done == expected
        if what not in ("plans",):
            assert content(folder) == whole

    def test_removes_cases_that_the_collection_has_no_more(self, folder, images):
        assert main(CALL) == 0
        for ending in (".b2nd", "_seg.b2nd", ".pkl"):
            (images / f"abdomen__old{ending}").write_bytes(b"old")
        assert main([*CALL, "--continue"]) == 0
        assert sorted(path.stem for path in images.glob("*.pkl")) == CASES


class TestParts:
    def test_together_are_the_whole(self, folder, images, done):
        assert main(CALL) == 0
        whole = content(folder)
        done.clear()
        for name in content(images):
            (images / name).unlink()
        for number in (3, 1, 2):
            assert main([*CALL, "--part", f"{number}/3"]) == 0
            # A training may begin when the last part has ended.
            assert record_of(images).exists() == (number == 2)
        assert done == [CASES[2], CASES[0], CASES[3], CASES[1], CASES[4]]
        assert content(folder) == whole
        done.clear()
        assert main([*CALL, "--continue"]) == 0
        assert done == []

    def test_leave_the_files_of_others(self, images, done):
        assert main(CALL) == 0
        before = {path.name: path.stat().st_mtime_ns for path in images.iterdir()}
        assert main([*CALL, "--part", "2/5"]) == 0
        after = {path.name: path.stat().st_mtime_ns for path in images.iterdir()}
        assert {name.partition(".")[0].removesuffix("_seg") for name in after if after[name] != before[name]} == {
            "abdomen__b"
        }


class TestBadInput:
    def test_an_image_that_is_broken_leaves_the_others(self, folder, images, tmp_path, capsys):
        image = tmp_path / "raw" / folder.name / "abdomen__b_0000.nii.gz"
        image.write_bytes(image.read_bytes()[:100])
        assert main(CALL) == 1
        said = capsys.readouterr().err
        assert f"1 of 5 cases cannot be preprocessed, the others are:\n  abdomen__b ({images.name}): {image}" in said
        assert sorted(path.stem for path in images.glob("*.pkl")) == [case for case in CASES if case != "abdomen__b"]
        assert not list(folder.glob(".writing-*"))

    def test_an_image_that_is_gone_leaves_the_others(self, folder, images, tmp_path, capsys):
        image = tmp_path / "raw" / folder.name / "abdomen__b_0000.nii.gz"
        image.unlink()
        assert main(CALL) == 1
        assert str(image) in capsys.readouterr().err
        assert len(list(images.glob("*.pkl"))) == len(CASES) - 1

    @pytest.mark.parametrize(
        ("options", "code", "line"),
        [
            (("-plans_name", "NoPlans"), 1, "NoPlans.json does not exist"),
            (("-c", "2d"), 1, "has no configuration 2d, but 3d_fullres"),
            (("-np", "0"), 1, "0 processes: give at least 1"),
            (("--part", "4/3"), 2, "--part '4/3' is no part"),
            (("--cluster", "local:1"), 2, "--processes are of this machine"),
        ],
    )
    def test_is_one_line(self, folder, images, options, code, line, capsys):
        assert main([*CALL, *options]) == code
        assert line in capsys.readouterr().err
        assert not images.exists()

    def test_records_behind_a_link_are_refused(self, folder, images, tmp_path, capsys):
        (tmp_path / "elsewhere").mkdir()
        (folder / ".hermes_preprocessed").symlink_to(tmp_path / "elsewhere")
        assert main(CALL) == 1
        assert f"{folder / '.hermes_preprocessed'} is a link, but Hermes alone writes there" in capsys.readouterr().err
        assert not images.exists()
        assert not list((tmp_path / "elsewhere").iterdir())

    def test_a_collection_that_is_not_there_is_named(self, folder, capsys):
        assert main(["preprocess", "901"]) == 1
        assert "data set 901 is not in nnUNet_raw" in capsys.readouterr().err


def test_a_worker_gets_a_case_and_nothing_of_others(folder, monkeypatch):
    given = []

    class Kept(Pool):
        def map(self, function, cases, description, folders, *, bundle=1):
            given.append((cases, folders))
            return [None] * len(cases)

    module.preprocess(900, PLANS, ["3d_fullres"], Kept(1))
    ((cases, folders),) = given
    assert folders.written == folder
    assert folders.read == (Path(folder.parents[1] / "raw" / folder.name),)
    for name, case in cases.items():
        assert name.startswith(f"{case.name} (")
        assert list(case.dataset_json["hermes"]["cases"]) == [case.name]
        assert "dataset" not in case.dataset_json
        others = [other.encode() for other in CASES if other != case.name]
        assert not any(other in pickle.dumps(case) for other in others)


class TestMergedAgain:
    """After preprocessing, with the same command."""

    @pytest.fixture
    def merged(self, folder):
        """A function that writes the record of a merge, and returns the collection's folder in nnUNet_raw."""
        raw = folder.parents[1] / "raw" / folder.name

        def write(cases=CASES, changed=(), **entries):
            stamps = {case: [["a.nii.gz", 5, 1], [f"{case}.nii.gz", 5, 2 + (case in changed)]] for case in cases}
            values = {"abdomen": {"1": 1}, "brain": {"1": 2}}
            content = {"specification": {"members": []}, "values": values, "cases": stamps, **entries}
            (raw / "hermes_merge.json").write_text(json.dumps({"format_version": 1, **content}))
            return raw

        return write

    def test_without_changes_it_changes_nothing(self, images, merged):
        raw = merged()
        assert main(CALL) == 0
        assert set(json.loads(record_of(images).read_text())["merged"]) == set(CASES)
        merged(hashes={case: ["0"] for case in CASES})
        assert changes_since(images, raw) == ""

    @pytest.mark.parametrize(
        ("again", "told"),
        [
            ({"changed": CASES[:2]}, "2 changed (abdomen__a, abdomen__b)"),
            ({"values": {"abdomen": {"1": 1}, "brain": {"1": 3}}}, "2 changed (brain__x, brain__y)"),
            ({"annotated": {"brain__x": ["brain/core"]}}, "1 changed (brain__x)"),
            ({"cases": [*CASES[1:], "brain__z"]}, "1 new (brain__z), 1 gone (abdomen__a)"),
        ],
    )
    def test_what_it_changes_is_known(self, images, merged, again, told):
        merged()
        assert main(CALL) == 0
        assert changes_since(images, merged(**again)) == told

    def test_while_cases_are_preprocessed_it_is_known_too(self, images, merged, monkeypatch):
        raw = merged()
        preprocess_case = one_case.preprocess_case

        def merging(case):
            merged(changed=CASES[:1])
            return preprocess_case(case)

        monkeypatch.setattr(module, "preprocess_case", merging)
        assert main(CALL) == 0
        assert changes_since(images, raw) == "1 changed (abdomen__a)"

    def test_nothing_is_known_without_one_of_the_records(self, images, merged):
        assert main(CALL) == 0  # of a collection without a record
        assert changes_since(images, merged()) == ""
        assert main(CALL) == 0
        assert changes_since(images, images) == ""
        record_of(images).unlink()
        assert changes_since(images, merged(changed=CASES)) == ""
