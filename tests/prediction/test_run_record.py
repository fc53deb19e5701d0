import hashlib
import json
import shutil

import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.cli.parser import build_parser
from hermes_nnunet.cli.repeating import RECORDED
from hermes_nnunet.prediction.run_record import RunRecord, read_runs, runs_in

# Arguments that do not decide what is predicted, or that name what a record has by another name.
NOT_RECORDED = {
    "command", "debug", "input", "output", "model", "trainer", "plans", "configuration", "device", "like",
    "go_on", "overwrite", "trust_plans", "cluster", "part", "gpus",
}  # fmt: skip
RUN = {"versions": {}, "device": "cpu", "model": {"path": "m"}, "made_by": {}, "options": {}, "input": "in"}


@pytest.fixture
def predict(images, tmp_path):
    """A function that runs `hermes_nnunet predict` with fold 0 on one image."""

    def run(*options, out=tmp_path / "out"):
        return main(["predict", "-o", str(out), "--device", "cpu", *options])

    return run


@pytest.fixture
def first(predict, model, images, tmp_path):
    """run.json of a prediction of the first image."""
    image = images / "a_0000.nii.gz"
    options = ["--tasks", "liver,core", "--modality", "CT", "--statistics", "-f", "0", "-step_size", "1"]
    assert predict("-i", str(image), "-m", str(model), *options) == 0
    return tmp_path / "out" / "run.json"


def test_every_argument_is_recorded_or_decides_nothing():
    arguments = build_parser(["predict"]).parse_args(["predict"])
    assert set(vars(arguments)) == {*RECORDED, *NOT_RECORDED}


class TestRecord:
    def test_a_case_is_of_the_run_that_wrote_it_last(self, tmp_path):
        first = RunRecord(tmp_path, [], {**RUN, "input": "first"})
        for name in ("a", "b"):
            first.add_case(name, [tmp_path / f"{name}.nii"], 1.26, [])
        first.end({"c": "is broken"})
        second = RunRecord(tmp_path, runs_in(tmp_path), {**RUN, "input": "second"})
        second.add_case("b", [], 0, ["padded"])
        runs = read_runs(tmp_path / "run.json")
        assert [(run["input"], list(run["cases"])) for run in runs] == [("first", ["a"]), ("second", ["b"])]
        assert runs[0]["cases"]["a"]["images"] == [str(tmp_path / "a.nii")]
        assert runs[0]["cases"]["a"]["seconds"] == 1.3
        assert runs[1]["cases"]["b"]["remarks"] == ["padded"]
        assert runs[0]["ended"] >= runs[0]["started"]
        assert runs[0]["failed"] == {"c": "is broken"}
        assert runs[1]["ended"] is None

    def test_a_run_whose_cases_were_all_replaced_is_not_kept(self, tmp_path):
        RunRecord(tmp_path, [], {**RUN, "input": "first"}).add_case("a", [], 1, [])
        RunRecord(tmp_path, runs_in(tmp_path), {**RUN, "input": "second"}).add_case("a", [], 1, [])
        assert [run["input"] for run in read_runs(tmp_path / "run.json")] == ["second"]

    def test_says_what_was_run(self, first, model, images):
        (run,) = read_runs(first)
        checkpoint = model / "fold_0" / "checkpoint_final.pth"
        assert run["model"]["path"] == str(model)
        assert run["made_by"]["weights"] == {"0": hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
        assert run["made_by"] in json.loads((first.parent / "labels.json").read_text())["runs"].values()
        assert run["device"].startswith("cpu (")
        assert run["versions"]["hermes_nnunet"]
        assert run["versions"]["torch"]
        assert run["input"] == str(images / "a_0000.nii.gz")
        assert run["options"]["tasks"] == ["liver,core"]
        assert run["options"]["tile_step"] == 1
        assert run["options"]["folds"] == ["0"]
        assert run["options"]["output_type"] == "nifti"
        assert run["passes"] == json.loads((first.parent / "labels.json").read_text())["passes"]
        assert list(run["cases"]) == ["a"]
        assert run["cases"]["a"]["images"] == [str(images / "a_0000.nii.gz")]
        assert run["warnings"] == ["no CT was among the training images of brain (T1): check the result"]
        assert run["ended"] is not None


class TestLike:
    def test_does_it_again(self, first, predict, tmp_path):
        again = tmp_path / "again"
        assert predict("--like", str(first), out=again) == 0
        assert (again / "a.nii.gz").read_bytes() == (first.parent / "a.nii.gz").read_bytes()
        assert (again / "statistics.json").read_bytes() == (first.parent / "statistics.json").read_bytes()
        (before,), (after,) = read_runs(first), read_runs(again / "run.json")
        different = {"started", "ended", "cases"}
        assert {k: v for k, v in after.items() if k not in different} == {
            k: v for k, v in before.items() if k not in different
        }

    def test_other_packages_and_devices_are_told(self, first, predict, tmp_path, capsys):
        content = json.loads(first.read_text())
        content["runs"][0]["device"] = "cuda:0 (NVIDIA H100)"
        content["runs"][0]["versions"] |= {"torch": "0.1", "apex": "3"}
        first.write_text(json.dumps(content))
        assert predict("--like", str(first), out=tmp_path / "again") == 0
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "not as in" in line]
        assert line.startswith(
            f"hermes_nnunet: warning: not as in {first}, so a few voxels may differ: torch 0.1 then, "
        )
        assert "apex 3 then, not now, cuda:0 (NVIDIA H100) then, cpu (" in line
        (run,) = read_runs(tmp_path / "again" / "run.json")
        assert line.endswith(run["warnings"][-1])

    def test_on_other_images(self, first, predict, images, tmp_path):
        again = tmp_path / "again"
        assert predict("--like", str(first), "-i", str(images / "b_0000.nii.gz"), out=again) == 0
        assert (again / "b.nii.gz").is_file()

    def test_a_model_that_was_moved_is_named(self, first, predict, model, tmp_path, capsys):
        moved = model.rename(tmp_path / "moved")
        assert predict("--like", str(first), out=tmp_path / "again") == 1
        assert "is neither a folder nor a data set" in capsys.readouterr().err
        assert predict("--like", str(first), "-m", str(moved), out=tmp_path / "again") == 0

    def test_another_model_is_refused(self, first, predict, model, tmp_path, capsys):
        shutil.copy(model / "fold_1" / "checkpoint_final.pth", model / "fold_0" / "checkpoint_final.pth")
        assert predict("--like", str(first), out=tmp_path / "again") == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert f"{first} is of another model (weights differ): name the model of that run with -m" in error
        assert not (tmp_path / "again").exists()

    def test_what_the_record_decides_is_not_given_again(self, first, predict, capsys):
        assert predict("--like", str(first), "--tasks", "liver") == 2
        assert "--tasks is what" in capsys.readouterr().err
        assert predict("--like", str(first), "--output-type", "nifti") == 2
        assert "--output-type is what" in capsys.readouterr().err

    def test_without_it_three_arguments_are_needed(self, capsys):
        assert main(["predict", "--all"]) == 2
        assert "are required: -i/--input, -o/--output, -m/--model" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "value"),
        [("tasks", "liver"), ("all", 1), ("output_type", "tiff"), ("tile_step", None), ("spacing_from", "guess")],
    )
    def test_a_damaged_option_is_told(self, first, predict, tmp_path, capsys, name, value):
        content = json.loads(first.read_text())
        content["runs"][0]["options"][name] = value
        first.write_text(json.dumps(content))
        assert predict("--like", str(first), out=tmp_path / "again") == 1
        assert f"{first}: options.{name}" in capsys.readouterr().err

    def test_an_option_of_another_release_is_not_left_out(self, first, predict, tmp_path, capsys):
        content = json.loads(first.read_text())
        content["runs"][0]["options"]["mirrored"] = True
        first.write_text(json.dumps(content))
        assert predict("--like", str(first), out=tmp_path / "again") == 1
        assert f"{first}: options: unknown key 'mirrored'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[]", "must be keys with values"),
            ('{"format_version": 2, "runs": []}', "has format version 2, this release reads 1"),
            ('{"format_version": 1, "runs": []}', ": runs"),
            ('{"format_version": 1, "runs": [1]}', ": runs[0] must be keys with values"),
        ],
    )
    def test_another_file_is_refused(self, predict, model, images, tmp_path, capsys, text, says):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "run.json").write_text(text)
        assert predict("--like", str(tmp_path / "out" / "run.json")) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert f"run.json{says}" in error or f"run.json {says}" in error
        assert error.endswith("move it away, or choose another folder")
        # Nor is it replaced.
        assert predict("-i", str(images / "a_0000.nii.gz"), "-m", str(model), "--member", "brain") == 1
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]
        assert (tmp_path / "out" / "run.json").read_text() == text


def test_going_on_adds_a_run_for_what_it_did(first, predict, model, images):
    options = ["--tasks", "liver,core", "--modality", "CT", "--statistics", "-f", "0", "-step_size", "1", "--continue"]
    assert predict("-i", str(images), "-m", str(model), *options) == 0
    assert [list(run["cases"]) for run in read_runs(first)] == [["a"], ["b"]]
    assert predict("-i", str(images), "-m", str(model), *options) == 0
    assert len(read_runs(first)) == 2


def test_a_repeated_model_gives_the_same_bits(first, predict, tmp_path):
    """Not only the label map: what it is made from."""
    content = json.loads(first.read_text())
    content["runs"][0]["options"]["probabilities"] = True
    first.write_text(json.dumps(content))
    arrays = []
    for name in ("one", "two"):
        assert predict("--like", str(first), out=tmp_path / name) == 0
        arrays.append(np.load(tmp_path / name / "a.npz")["probabilities"])
    np.testing.assert_array_equal(*arrays)
