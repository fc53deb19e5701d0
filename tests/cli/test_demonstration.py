import json
import sys
import textwrap

import pytest
import yaml

from hermes_nnunet.cli.demonstration import prepare_folder, run_demo
from hermes_nnunet.cli.main import main
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.demo_schedule import EPOCHS

PREDICTS_THE_REFERENCE = """
    output.mkdir()
    for reference in (images.parent / "labelsTs").iterdir():
        shutil.copy(reference, output)
"""
PREDICTS_NOTHING = """
    import nibabel
    output.mkdir()
    for path in (images.parent / "labelsTs").iterdir():
        label = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(0 * label.get_fdata().astype("uint8"), label.affine), output / path.name)
"""


def write_command(folder, name, body):
    """A command that notes how it was called, and then runs `body`."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\n"
        + textwrap.dedent(
            f"""\
            import json, os, shutil, sys
            from pathlib import Path
            folders = [os.environ[name] for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
            with open({str(folder / "calls.jsonl")!r}, "a") as calls:
                calls.write(json.dumps([{name!r}, sys.argv[1:], folders]) + "\\n")
            """
        )
        + textwrap.dedent(body)
    )
    path.chmod(0o755)


def write_commands(folder, predict=PREDICTS_THE_REFERENCE, train="print('Epoch 0')"):
    folder.mkdir()
    write_command(folder, "hermes_nnunet", "")
    write_command(folder, "nnUNetv2_plan_and_preprocess", "")
    write_command(folder, "nnUNetv2_train", train)
    options = "images, output = (Path(sys.argv[sys.argv.index(option) + 1]) for option in ('-i', '-o'))\n"
    write_command(folder, "nnUNetv2_predict", options + textwrap.dedent(predict))
    return folder


def calls_of(folder):
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture(scope="class")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    commands = write_commands(folder / "bin")
    result = run_demo(folder / "demo", "cpu", commands)
    return folder / "demo", calls_of(commands), result


class TestRunDemo:
    def test_merges_with_a_file_that_gives_more_patches_to_what_is_harder(self, finished):
        folder, calls, _ = finished
        assert calls[0][1] == ["merge", "--members", str(folder / "merge.yaml")]
        content = yaml.safe_load((folder / "merge.yaml").read_text())
        assert (content["into"], content["name"]) == (990, "Phantoms")
        assert [(m["dataset"], m["modality"]) for m in content["members"]] == [
            (991, "CT"),
            (992, "T1"),
            (993, "T2"),
            (994, "PET"),
        ]
        assert content["members"][0]["sampling_weight"] > content["members"][1]["sampling_weight"]

    def test_runs_merge_plan_train_and_a_prediction_for_each_member(self, finished):
        _, calls, _ = finished
        assert [name for name, _, _ in calls] == [
            "hermes_nnunet",
            "nnUNetv2_plan_and_preprocess",
            "nnUNetv2_train",
            *["nnUNetv2_predict"] * 4,
        ]
        assert [arguments[arguments.index("-d") + 1] for _, arguments, _ in calls[3:]] == ["991", "992", "993", "994"]

    def test_keeps_nnunets_folders_inside_its_own(self, finished):
        folder, calls, _ = finished
        expected = [str(folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
        assert all(folders == expected for _, _, folders in calls)

    def test_scores_every_held_out_case(self, finished):
        result = finished[2]
        assert result.mean == 1.0
        assert {name: len(cases) for name, cases in result.members.items()} == {
            "PhantomCT": 2,
            "PhantomT1": 2,
            "PhantomT2": 2,
            "PhantomPET": 2,
        }

    def test_writes_dice_and_picture(self, finished):
        folder = finished[0]
        content = json.loads((folder / "dice.json").read_text())
        assert content["format_version"] == 1
        assert content["members"]["PhantomT2"]["labels"] == {"heart": 1.0, "kidney": 1.0}
        assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")

    def test_keeps_a_log_of_each_command(self, finished):
        assert sorted(path.name for path in (finished[0] / "log").iterdir()) == [
            "merge.txt",
            "plan.txt",
            "predict_PhantomCT.txt",
            "predict_PhantomPET.txt",
            "predict_PhantomT1.txt",
            "predict_PhantomT2.txt",
            "train.txt",
        ]

    def test_epochs_are_counted_and_a_failure_names_its_log(self, tmp_path, capsys):
        train = "for epoch in range(3): print('Epoch time: 1.0 s')\nprint('out of luck'); sys.exit(1)"
        commands = write_commands(tmp_path / "bin", train=train)
        with pytest.raises(HermesError, match=r"(?s)nnUNetv2_train failed.*log/train\.txt.*out of luck"):
            run_demo(tmp_path / "demo", "cpu", commands)
        assert f"3/{EPOCHS}" in capsys.readouterr().err

    def test_missing_command_is_noticed_before_anything_is_written(self, tmp_path):
        (tmp_path / "bin").mkdir()
        with pytest.raises(HermesError, match="the command hermes_nnunet is not in"):
            run_demo(tmp_path / "demo", "cpu", tmp_path / "bin")
        assert not (tmp_path / "demo").exists()


class TestPrepareFolder:
    def test_refuses_a_folder_of_someone_else(self, tmp_path):
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(HermesError, match=rf"{tmp_path} was not made by the demo"):
            prepare_folder(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_takes_an_empty_folder(self, tmp_path):
        prepare_folder(tmp_path)
        assert (tmp_path / "nnUNet_raw").is_dir()

    def test_second_run_starts_clean_and_spares_what_it_did_not_write(self, tmp_path):
        prepare_folder(tmp_path / "demo")
        (tmp_path / "demo" / "nnUNet_raw" / "Dataset991_PhantomCT").mkdir()
        (tmp_path / "demo" / "report.png").touch()
        (tmp_path / "demo" / "notes.txt").touch()
        prepare_folder(tmp_path / "demo")
        assert not list((tmp_path / "demo" / "nnUNet_raw").iterdir())
        assert not (tmp_path / "demo" / "report.png").exists()
        assert (tmp_path / "demo" / "notes.txt").exists()


class TestCommand:
    @pytest.fixture
    def call(self, tmp_path, monkeypatch):
        def call(predict):
            commands = write_commands(tmp_path / "bin", predict)
            monkeypatch.setattr(sys, "executable", str(commands / "python"))
            return main(["demo", "--folder", str(tmp_path / "demo"), "--device", "cpu"])

        return call

    def test_ends_well_where_the_model_works(self, call, capsys):
        assert call(PREDICTS_THE_REFERENCE) == 0
        assert "report.png" in capsys.readouterr().out

    def test_ends_with_1_and_a_line_where_it_does_not(self, call, capsys):
        assert call(PREDICTS_NOTHING) == 1
        assert "mean Dice over members is 0.000, at least 0.7 was expected" in capsys.readouterr().out
