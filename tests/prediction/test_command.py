import json
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.leftovers import temporary_name


def voxels(path):
    return np.asarray(nibabel.load(path).dataobj)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_a_killed_prediction_left_goes(predict, out):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    out.mkdir()
    left = out / temporary_name().replace(f"-{os.getpid()}-", f"-{process.pid}-")
    left.mkdir()
    (left / "probabilities.npy").write_text("half")
    assert predict("--tasks", "liver", "--continue") == 0
    assert not left.exists()


class TestResults:
    def test_a_label_map_a_case_with_tables_of_its_values(self, predict, out, images, capsys):
        assert predict("--tasks", "liver,core") == 0
        assert files(out) == {"a.nii.gz", "b.nii.gz", "labels.json", "labels.txt", "labels.ctbl", "run.json"}
        table = json.loads((out / "labels.json").read_text())
        assert table["format_version"] == 1
        assert [(label["name"], label["value"], label["member"]) for label in table["labels"]] == [
            ("abdomen/liver", 1, "abdomen"),
            ("brain/core", 4, "brain"),
        ]
        assert [(one["member"], one["modality"]) for one in table["passes"]] == [("abdomen", "CT"), ("brain", "T1")]
        for case in ("a", "b"):
            image, label = (
                nibabel.load(folder / name)
                for folder, name in ((images, f"{case}_0000.nii.gz"), (out, f"{case}.nii.gz"))
            )
            assert set(np.unique(label.dataobj)) == {0, 1, 4}
            assert label.shape == image.shape
            np.testing.assert_allclose(label.affine, image.affine, atol=1e-5)
        captured = capsys.readouterr()
        assert "warning: the images are taken for CT (abdomen), T1 (brain)" in captured.err
        assert captured.out == f"2 cases segmented to {out}\n"

    def test_masks_of_all_tasks_may_overlap(self, predict, out):
        options = ("--all", "--all-modalities", "--modality", "CT", "--per-task")
        assert predict(*options, "--statistics", "--probabilities", "--preview") == 0
        names = ["abdomen__liver", "abdomen__spleen", "brain__whole", "brain__core"]
        expected = {f"{case}/{name}.nii.gz" for case in ("a", "b") for name in names}
        tables = {"labels.json", "statistics.json", "statistics.csv", "run.json"}
        assert files(out) == expected | tables | {"a.npz", "b.npz", "a.png", "b.png"}
        assert json.loads((out / "labels.json").read_text())["passes"] == [
            {
                "members": ["abdomen", "brain"],
                "modality": "CT",
                "tasks": ["abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"],
            }
        ]
        probabilities = np.load(out / "b.npz")["probabilities"]
        masks = [voxels(out / "b" / f"{name}.nii.gz") for name in names]
        assert probabilities.shape == (4, *reversed(masks[0].shape))
        assert [int(mask.sum()) for mask in masks] == (probabilities > 0.5).sum((1, 2, 3)).tolist()
        assert np.sum(masks, axis=0).max() > 1
        measured = json.loads((out / "statistics.json").read_text())["cases"]["b"]
        voxel_ml = 2 * 2 * 2.5 / 1000
        assert [measured[name.replace("__", "/")]["volume_ml"] for name in names] == pytest.approx(
            [mask.sum() * voxel_ml for mask in masks], rel=1e-3
        )

    def test_tasks_that_never_saw_the_modality_are_in_no_file(self, predict, out, images, capsys):
        options = ("--all", "--modality", "CT", "--statistics", "--probabilities")
        assert predict(*options, source=images / "a_0000.nii.gz") == 0
        assert (
            "hermes_nnunet: warning: left out, since no CT was among their training images: brain/whole, brain/core; "
            "--all-modalities (all_modalities=True in Python) brings them back"
        ) in capsys.readouterr().err
        names = ["abdomen/liver", "abdomen/spleen"]
        assert [label["name"] for label in json.loads((out / "labels.json").read_text())["labels"]] == names
        assert list(json.loads((out / "statistics.json").read_text())["cases"]["a"]) == names
        assert len(np.load(out / "a.npz")["probabilities"]) == 2
        assert set(np.unique(voxels(out / "a.nii.gz"))) == {0, 1, 2}

    def test_statistics_are_those_of_the_files(self, predict, out, images):
        assert predict("--member", "brain", "--modality", "CT", "--statistics", source=images / "a_0000.nii.gz") == 0
        labels, image = voxels(out / "a.nii.gz"), voxels(images / "a_0000.nii.gz")
        measured = json.loads((out / "statistics.json").read_text())["cases"]["a"]
        whole = np.isin(labels, (1, 2))
        assert measured["brain/whole"]["volume_ml"] == pytest.approx(whole.sum() * 0.008)
        assert measured["brain/whole"]["mean_intensity"] == pytest.approx(image[whole].mean(), rel=1e-5)
        assert measured["brain/core"]["mean_intensity"] == pytest.approx(image[labels == 2].mean(), rel=1e-5)

    def test_a_picture_a_case(self, predict, out, images):
        assert predict("--member", "abdomen", "--preview", source=images / "b_0000.nii.gz") == 0
        assert (out / "b.png").read_bytes().startswith(b"\x89PNG")

    def test_a_view_predicts_its_member(self, predict, model, results, out, images):
        from hermes_nnunet.prediction.views.write import write_views

        write_views(model, results, [0, 1])
        source = images / "a_0000.nii.gz"
        assert predict(asked="11", source=source) == 0
        assert predict("--member", "abdomen", source=source, output=out.parent / "universal") == 0
        np.testing.assert_array_equal(voxels(out / "a.nii.gz"), voxels(out.parent / "universal" / "a.nii.gz"))


class TestGoingOn:
    def test_results_are_not_replaced_unasked(self, predict, out, capsys):
        source = ["--member", "abdomen"]
        assert predict(*source) == 0
        before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
        assert predict(*source) == 1
        assert "a.nii.gz exists: choose another folder, or add --continue or --overwrite" in capsys.readouterr().err
        assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before

    def test_only_what_is_not_finished_is_predicted(self, predict, out, capsys):
        options = ["--member", "abdomen", "--statistics", "--preview"]
        assert predict(*options) == 0
        first = files(out)
        untouched = (out / "a.nii.gz").stat().st_mtime_ns
        (out / "b.png").unlink()
        assert predict(*options, "--continue") == 0
        assert capsys.readouterr().out.endswith(f"1 case segmented to {out}, 1 were finished before\n")
        assert files(out) == first
        assert (out / "a.nii.gz").stat().st_mtime_ns == untouched
        assert set(json.loads((out / "statistics.json").read_text())["cases"]) == {"a", "b"}

    def test_other_tasks_are_not_mixed_in(self, predict, out, capsys):
        assert predict("--member", "abdomen") == 0
        assert predict("--tasks", "liver", "--modality", "CT", "--continue") == 1
        assert "labels.json is of other tasks" in capsys.readouterr().err

    def test_everything_is_replaced_on_request(self, predict, out):
        assert predict("--all", "--per-task", "--modality", "CT") == 0
        (out / "a" / "abdomen__liver.nii.gz").write_text("broken")
        assert predict("--tasks", "liver", "--per-task", "--modality", "CT", "--overwrite") == 0
        assert {name for name in files(out) if name.startswith("a/")} == {"a/abdomen__liver.nii.gz"}
        assert set(np.unique(voxels(out / "a" / "abdomen__liver.nii.gz"))) == {0, 1}


class TestProblems:
    """Each is one line, exit code 1, and nothing is written."""

    @pytest.fixture
    def refused(self, predict, out, capsys):
        def check(*options, says, code=1, **places):
            assert predict(*options, **places) == code
            lines = capsys.readouterr().err.splitlines()
            assert lines[-1].startswith("hermes_nnunet: error: ")
            assert says in lines[-1]
            assert not out.exists() or files(out) == set()

        return check

    def test_no_choice_of_a_member(self, refused):
        refused(says="the model has the members abdomen, brain")

    def test_an_unknown_task(self, refused):
        refused("--tasks", "liver,splen", says="no task 'splen', the nearest are abdomen/spleen")

    def test_a_modality_that_was_never_trained(self, refused):
        refused(
            "--all",
            "--modality",
            "PET",
            says="'PET' was never trained: the model knows CT, T1; choose one of them, or 'unknown'",
        )

    def test_all_modalities_of_tasks_that_are_named(self, refused):
        refused("--tasks", "liver", "--all-modalities", says="all modalities go with everything", code=2)

    def test_a_switch_that_is_neither_on_nor_off(self, refused, monkeypatch):
        monkeypatch.setenv("HERMES_ALL_MODALITIES", "CT")
        refused("--all", "--modality", "CT", says="HERMES_ALL_MODALITIES=CT is neither 1 nor 0")

    def test_channels_of_which_members_that_share_a_pass_know_nothing(self, refused, images):
        for case in ("a", "b"):
            os.link(images / f"{case}_0000.nii.gz", images / f"{case}_0001.nii.gz")
        refused(
            *("--all", "--all-modalities", "--modality", "CT"),
            says="the case has 2 channels, but abdomen, brain need 1",
        )

    def test_an_image_of_four_dimensions(self, refused, tmp_path):
        image = tmp_path / "c_0000.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), np.eye(4)), image)
        refused("--all", says="c_0000.nii.gz has 4 dimensions", source=image)

    def test_a_channel_too_many(self, refused, images):
        for case in ("a", "b"):
            os.link(images / f"{case}_0000.nii.gz", images / f"{case}_0001.nii.gz")
        refused("--member", "abdomen", says="the case has 2 channels, but abdomen needs 1")

    def test_voxels_that_are_not_numbers(self, predict, out, images, capsys):
        voxels_of_b = nibabel.load(images / "b_0000.nii.gz")
        broken = voxels_of_b.get_fdata(dtype=np.float32)
        broken[3, 3, 3] = np.nan
        nibabel.save(nibabel.Nifti1Image(broken, voxels_of_b.affine), images / "b_0000.nii.gz")
        assert predict("--member", "abdomen") == 1
        assert "b_0000.nii.gz holds NaN or infinite voxels" in capsys.readouterr().err.splitlines()[-1]
        assert not (out / "b.nii.gz").exists()

    def test_a_model_of_plain_nnunet(self, refused, model):
        plans = json.loads((model / "plans.json").read_text())
        del plans["hermes"]
        (model / "plans.json").write_text(json.dumps(plans))
        refused("--all", says="is a model of plain nnU-Net, not of Hermes: predict with nnUNetv2_predict")

    def test_a_checkpoint_that_runs_code(self, refused, model):
        import pickle

        class Harm:
            def __reduce__(self):
                return os.system, ("true",)

        (model / "fold_0" / "checkpoint_final.pth").write_bytes(pickle.dumps(Harm()))
        refused("--all", says="checkpoint_final.pth")

    def test_a_fold_that_is_not_there(self, refused):
        refused("--all", "-f", "3", says="has no fold 3 with a checkpoint_final.pth, but 0, 1")

    def test_a_device_that_is_not_there(self, refused):
        refused("--all", "--device", "cuda:77", says="the device cuda:77 is not there: choose one of cpu")

    def test_a_tile_step_that_leaves_gaps(self, refused):
        refused("--all", "--tile-step", "1.5", says="the tile step is 1.5", code=2)

    def test_an_output_folder_that_is_a_file(self, predict, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert predict("--all", output=tmp_path / "file" / "out") == 1
        assert f"{tmp_path / 'file' / 'out'}: Not a directory" in capsys.readouterr().err

    def test_a_disk_without_space(self, predict, out, monkeypatch, capsys):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("nnunetv2.imageio.nibabel_reader_writer.nibabel.save", full)
        assert predict("--member", "abdomen") == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert "hermes_nnunet: error: " in line
        assert f"{out / 'a.nii.gz'} cannot be written, since its disk is full (" in line
        assert f"MB are free in {out}): make room, or choose another folder" in line
        assert files(out) == {"labels.json", "labels.txt", "labels.ctbl", "run.json"}
        assert [path for path in out.iterdir() if path.is_dir()] == []

    def test_a_result_that_would_replace_its_image(self, predict, images, capsys):
        (images / "a_0000.nii.gz").rename(images / "a.nii.gz")
        (images / "b_0000.nii.gz").unlink()
        content = (images / "a.nii.gz").read_bytes()
        assert predict("--member", "abdomen", "--overwrite", output=images) == 1
        assert "a.nii.gz would replace the image of case a" in capsys.readouterr().err
        assert (images / "a.nii.gz").read_bytes() == content

    def test_a_folder_of_other_things_that_masks_would_replace(self, predict, out, capsys):
        (out / "a").mkdir(parents=True)
        (out / "a" / "thesis.docx").touch()
        assert predict("--member", "abdomen", "--per-task", "--overwrite") == 1
        assert "holds thesis.docx, which is no mask" in capsys.readouterr().err
        assert (out / "a" / "thesis.docx").exists()

    def test_a_result_whose_name_would_be_too_long(self, refused, tmp_path):
        image = tmp_path / f"{'x' * 250}.nii"
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4)), image)
        says = f"its result would be called {'x' * 250}.nii.gz, 2 letters too many for names of files: rename the image"
        refused("--all", says=says, source=image)

    def test_dicom_objects_of_what_is_not_dicom(self, refused):
        pytest.importorskip("highdicom")
        refused("--all", "--output-type", "dicom_seg", says="is not DICOM, so dicom_seg cannot refer to it")

    def test_masks_and_dicom_objects_at_once(self, refused):
        refused("--all", "--output-type", "dicom_seg", "--per-task", says="--per-task writes NIfTI masks", code=2)
