"""Files that other weights, images or tasks made: they go, or are made anew, and never pass for finished."""

import json
import shutil

import numpy as np
import pytest

from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.insight.viewer.results import cases_of_results
from hermes_nnunet.prediction.destination import Destination

CT = ("--member", "abdomen")
T1_AS_CT = ("--member", "brain", "--modality", "CT")


def labels_file(out):
    return json.loads((out / "labels.json").read_text())


def statistics(out):
    return json.loads((out / "statistics.json").read_text())["cases"]


def names(out):
    return {path.name for path in out.iterdir()}


def voxels(path):
    return open_image(path).labels()


@pytest.fixture
def of_fold(predict, tmp_path):
    """A function that gives what a fold makes in a folder of its own."""

    def run(fold, *options, **places):
        folder = tmp_path / f"alone-{fold}"
        assert predict(*CT, "-f", fold, *options, output=folder, **places) == 0
        return folder

    return run


class TestOfOtherWeights:
    def test_statistics_are_measured_again(self, predict, of_fold, out, capsys):
        assert predict(*CT, "-f", "0", "--statistics") == 0
        assert predict(*CT, "-f", "1", "--continue") == 0
        assert "made it: a in statistics.json, b in statistics.json\n" in capsys.readouterr().err
        assert not (out / "statistics.json").exists()
        assert not (out / "statistics.csv").exists()
        assert predict(*CT, "-f", "1", "--continue", "--statistics") == 0
        assert "2 cases segmented" in capsys.readouterr().out
        assert statistics(out) == statistics(of_fold("1", "--statistics"))

    def test_other_files_of_a_case_go_with_a_line(self, predict, of_fold, out, capsys):
        more = ("--statistics", "--preview", "--probabilities", "--viewer")
        assert predict(*CT, "-f", "0", *more) == 0
        assert predict(*CT, "-f", "1", "--overwrite") == 0
        gone = [f"{case}{ending}" for case in "ab" for ending in (".npz", ".png", ".viewer.html")]
        said = f"made it: {', '.join(gone)}, a in statistics.json, b in statistics.json\n"
        assert said in capsys.readouterr().err
        assert not names(out).intersection([*gone, "statistics.json", "statistics.csv"])
        assert predict(*CT, "-f", "1", "--continue", *more) == 0
        assert "2 cases segmented" in capsys.readouterr().out
        assert statistics(out) == statistics(of_fold("1", *more))

    def test_the_viewer_shows_the_new_kind_of_file(self, predict, images, out):
        assert predict(*CT, "-f", "0", "--output-type", "seg_nrrd") == 0
        assert predict(*CT, "-f", "1", "--overwrite") == 0
        assert [case.prediction.name for case in cases_of_results(out, images, None)] == ["a.nii.gz", "b.nii.gz"]
        assert "a.seg.nrrd" not in names(out)

    def test_a_kill_leaves_no_case_to_the_run_before(self, predict, of_fold, out, monkeypatch, capsys):
        assert predict(*CT, "-f", "0") == 0
        before = voxels(out / "a.nii.gz")

        def fail(*_):
            raise RuntimeError("CUDA error: unspecified launch failure")

        with monkeypatch.context() as patched:
            patched.setattr(Destination, "record", fail)
            assert predict(*CT, "-f", "1", "--overwrite") == 1
        assert not np.array_equal(voxels(out / "a.nii.gz"), before)
        capsys.readouterr()
        assert predict(*CT, "-f", "0", "--continue") == 0
        assert "2 cases segmented" in capsys.readouterr().out
        for name in ("a.nii.gz", "b.nii.gz"):
            assert np.array_equal(voxels(out / name), voxels(of_fold("0", "--overwrite") / name))


class TestOfOtherImages:
    def test_another_kind_of_file_goes(self, predict, of_fold, images, out, capsys):
        assert predict(*CT, "-f", "0") == 0
        shutil.copyfile(images / "b_0000.nii.gz", images / "a_0000.nii.gz")
        assert predict(*CT, "-f", "0", "--continue", "--output-type", "seg_nrrd") == 0
        said = capsys.readouterr().err
        assert "predicted again, since their images have changed: a\n" in said
        assert "made it: a.nii.gz\n" in said
        assert predict(*CT, "-f", "0", "--continue") == 0
        assert f"1 case segmented to {out}, 1 were finished before" in capsys.readouterr().out
        assert np.array_equal(voxels(out / "a.nii.gz"), voxels(of_fold("0") / "a.nii.gz"))

    def test_one_that_changes_while_it_is_predicted_is_predicted_again(self, predict, images, out, monkeypatch, capsys):
        from hermes_nnunet.prediction import running

        prepare = running.prepare

        def replace_afterwards(source, *rest):
            prepared = prepare(source, *rest)
            if source.name == "a":
                shutil.copyfile(images / "b_0000.nii.gz", images / "a_0000.nii.gz")
            return prepared

        with monkeypatch.context() as patched:
            patched.setattr(running, "prepare", replace_afterwards)
            assert predict(*CT, "-f", "0") == 0
        assert predict(*CT, "-f", "0", "--continue") == 0
        assert "predicted again, since their images have changed: a\n" in capsys.readouterr().err


class TestOfOtherTasks:
    def test_another_kind_of_file_goes_with_its_table(self, predict, out, capsys):
        assert predict(*CT) == 0
        assert predict(*T1_AS_CT, "--overwrite", "--output-type", "seg_nrrd") == 0
        assert "made it: a.nii.gz, b.nii.gz\n" in capsys.readouterr().err
        assert names(out) == {"a.seg.nrrd", "b.seg.nrrd", "labels.json", "run.json"}

    def test_the_segmentation_of_a_case_that_fails_now_goes(self, predict, images, out, capsys):
        assert predict(*CT) == 0
        image = images / "b_0000.nii.gz"
        image.write_bytes(image.read_bytes()[:2000])
        assert predict(*T1_AS_CT, "--overwrite") == 1
        assert "1 of 2 cases failed" in capsys.readouterr().err
        assert "b.nii.gz" not in names(out)
        assert list(labels_file(out)["cases"]) == ["a"]

    def test_so_does_that_of_an_older_release(self, predict, images, out):
        assert predict(*CT) == 0
        content = labels_file(out)
        for key in ("files", "cases", "runs", "images"):
            del content[key]
        (out / "labels.json").write_text(json.dumps(content))
        image = images / "b_0000.nii.gz"
        image.write_bytes(image.read_bytes()[:2000])
        assert predict(*T1_AS_CT, "--overwrite") == 1
        assert "b.nii.gz" not in names(out)

    def test_masks_go_and_nothing_else_of_their_folder(self, predict, out):
        assert predict(*CT, "--per-task") == 0
        (out / "a" / "mine.txt").write_text("mine")
        assert predict(*CT, "--overwrite") == 0
        assert [path.name for path in (out / "a").iterdir()] == ["mine.txt"]
        assert not (out / "b").exists()

    def test_masks_in_a_folder_that_a_link_leads_to_stay(self, predict, out, tmp_path):
        assert predict(*CT, "--per-task") == 0
        (out / "a").rename(tmp_path / "elsewhere")
        (out / "a").symlink_to(tmp_path / "elsewhere")
        assert predict(*CT, "--overwrite") == 0
        assert len(names(tmp_path / "elsewhere")) == 2


class TestStays:
    def test_what_the_same_run_made_before(self, predict, out, capsys):
        assert predict(*CT, "--preview", "--statistics") == 0
        picture, measured = (out / "a.png").stat().st_mtime_ns, statistics(out)
        assert predict(*CT, "--continue", "--probabilities") == 0
        assert "removed" not in capsys.readouterr().err
        assert (out / "a.png").stat().st_mtime_ns == picture
        assert statistics(out) == measured
        assert predict(*CT, "--continue", "--probabilities", "--preview", "--statistics") == 0
        assert "2 were finished before" in capsys.readouterr().out

    def test_a_case_that_others_are_overwritten_beside_keeps_its_statistics(self, predict, images, out):
        assert predict(*CT, "-f", "0", "--statistics") == 0
        before = statistics(out)
        assert predict(*CT, "-f", "1", "--statistics", "--overwrite", source=images / "a_0000.nii.gz") == 0
        assert statistics(out)["b"] == before["b"]
        assert statistics(out)["a"] != before["a"]
        assert (out / "statistics.csv").read_text().count("\nb,") == 2

    @pytest.mark.parametrize("name", ["a.png", "a.seg.nrrd", "a_seg.dcm"])
    def test_a_file_of_the_users_that_is_called_like_ours(self, predict, out, name):
        assert predict(*CT, "-f", "0") == 0
        (out / name).write_text("mine")
        assert predict(*CT, "-f", "1", "--overwrite") == 0
        assert (out / name).read_text() == "mine"

    def test_but_it_is_not_taken_for_a_result(self, predict, images, out, capsys):
        assert predict(*CT, "-f", "0") == 0
        (out / "a.png").write_text("mine")
        (out / "a.seg.nrrd").write_text("mine")
        assert [case.prediction.name for case in cases_of_results(out, images, None)] == ["a.nii.gz", "b.nii.gz"]
        assert predict(*CT, "-f", "0", "--continue", "--preview") == 0
        assert "2 cases segmented" in capsys.readouterr().out
        assert (out / "a.png").read_bytes().startswith(b"\x89PNG")

    def test_an_image_that_lies_where_a_result_was(self, predict, out, tmp_path, write_image):
        assert predict(*CT, "-f", "0") == 0
        write_image(out / "a.nii.gz", seed=5)
        image = (out / "a.nii.gz").read_bytes()
        options = ("-f", "0", "--continue", "--output-type", "seg_nrrd")
        assert predict(*CT, *options, source=out / "a.nii.gz") == 0
        assert (out / "a.nii.gz").read_bytes() == image


class TestFinished:
    def test_is_a_case_whose_masks_are_all_there(self, predict, out, capsys):
        assert predict(*CT, "--per-task") == 0
        (out / "a" / "abdomen__liver.nii.gz").unlink()
        assert predict(*CT, "--per-task", "--continue") == 0
        assert f"1 case segmented to {out}, 1 were finished before" in capsys.readouterr().out
        assert (out / "a" / "abdomen__liver.nii.gz").is_file()

    def test_an_older_release_did_not_say_which_files_it_wrote(self, predict, out, capsys):
        assert predict(*CT, "--preview") == 0
        content = labels_file(out)
        assert content.pop("files") == {"a": [".nii.gz", ".png"], "b": [".nii.gz", ".png"]}
        (out / "labels.json").write_text(json.dumps(content))
        assert predict(*CT, "--preview", "--continue") == 0
        assert "2 were finished before" in capsys.readouterr().out

    @pytest.mark.parametrize("ending", ["../../x", "x/y", "\\x", "", "nii"])
    def test_an_ending_that_is_none_is_refused(self, predict, out, capsys, ending):
        assert predict(*CT) == 0
        content = labels_file(out)
        content["files"]["a"] = [ending]
        (out / "labels.json").write_text(json.dumps(content))
        assert predict(*CT, "--continue") == 1
        assert "files.a[0] must be the ending of a file, such as .nii.gz" in capsys.readouterr().err
