"""--continue: what this very model has finished is left, all else is predicted again."""

import json
import os
import shutil

import pytest
import SimpleITK

from hermes_nnunet.prediction import running
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.provenance import Provenance


@pytest.fixture
def again(predict, capsys):
    """A function that predicts with fold 0, goes on with other options, and gives what was said the second time."""

    def run(*options, change=lambda: None):
        assert predict("--member", "abdomen", "-f", "0") == 0
        capsys.readouterr()
        change()
        assert predict("--member", "abdomen", *(options or ("-f", "0")), "--continue") == 0
        said = capsys.readouterr()
        warnings = [line for line in said.err.splitlines() if "predicted again" in line]
        return said.out, [line.partition("warning: ")[2] for line in warnings]

    return run


def labels_file(out):
    return json.loads((out / "labels.json").read_text())


class TestContinue:
    def test_takes_no_segmentation_beside_its_image_for_an_image(self, predict, write_image, tmp_path, capsys):
        folder = tmp_path / "slicer"
        folder.mkdir()

        def run(case, *options):
            image = SimpleITK.ReadImage(str(write_image(tmp_path / "image.nii.gz")))
            SimpleITK.WriteImage(image, str(folder / f"{case}.nrrd"))
            written = ("--output-type", "seg_nrrd", "--statistics", "-f", "0")
            assert predict("--member", "abdomen", *written, *options, source=folder, output=folder) == 0
            return capsys.readouterr()

        run("b")
        said = run("a", "--continue")
        assert said.out == f"1 case segmented to {folder}, 1 were finished before\n"
        assert f"not used, since segmentations by their names: b.seg.nrrd in {folder}" in said.err
        assert sorted(path.name for path in folder.glob("*.nrrd")) == ["a.nrrd", "a.seg.nrrd", "b.nrrd", "b.seg.nrrd"]
        assert list(json.loads((folder / "statistics.json").read_text())["cases"]) == ["a", "b"]

    def test_leaves_what_the_same_model_has_finished(self, again, out):
        assert again() == (f"0 cases segmented to {out}, 2 were finished before\n", [])

    @pytest.mark.parametrize(
        ("options", "differs"),
        [
            (("-f", "1"), "folds"),
            (("-f", "0", "1"), "folds"),
            (("-f", "0", "-step_size", "0.7"), "tile_step"),
            (("-f", "0", "--full-precision", "-step_size", "0.7"), "tile_step, half_precision"),
        ],
    )
    def test_begins_anew_with_other_folds_or_options(self, again, out, options, differs):
        said, warnings = again(*options)
        assert said == f"2 cases segmented to {out}\n"
        assert warnings == [f"predicted again, since a run with other {differs} made them: a, b"]
        (run,) = labels_file(out)["runs"].values()
        assert list(run["weights"]) == [option for option in options if option in "01"]

    def test_begins_anew_with_other_weights(self, again, model, out):
        def other_weights():
            shutil.copyfile(model / "fold_1/checkpoint_final.pth", model / "fold_0/checkpoint_final.pth")

        before = []

        def change():
            before.append((out / "a.nii.gz").read_bytes())
            other_weights()

        _, warnings = again(change=change)
        assert warnings == ["predicted again, since a run with other weights made them: a, b"]
        assert (out / "a.nii.gz").read_bytes() != before[0]

    def test_begins_anew_with_other_images_under_the_same_names(self, again, images, out):
        before = []

        def change():
            before.append((out / "a.nii.gz").read_bytes())
            shutil.copyfile(images / "b_0000.nii.gz", images / "a_0000.nii.gz")

        said, warnings = again(change=change)
        assert said == f"1 case segmented to {out}, 1 were finished before\n"
        assert warnings == ["predicted again, since their images have changed: a"]
        assert (out / "a.nii.gz").read_bytes() != before[0]

    def test_leaves_what_was_made_of_images_that_were_only_copied(self, again, images, out):
        def change():
            os.utime(images / "a_0000.nii.gz", (0, 0))

        assert again(change=change) == (f"0 cases segmented to {out}, 2 were finished before\n", [])

    def test_leaves_what_a_release_wrote_that_did_not_look_at_images(self, again, images, out):
        def change():
            content = labels_file(out)
            del content["images"]
            (out / "labels.json").write_text(json.dumps(content))
            os.utime(images / "a_0000.nii.gz", (0, 0))

        assert again(change=change) == (f"0 cases segmented to {out}, 2 were finished before\n", [])

    def test_begins_anew_with_what_an_older_release_wrote(self, again, out):
        def as_older_releases():
            content = labels_file(out)
            del content["runs"], content["cases"]
            (out / "labels.json").write_text(json.dumps(content))

        _, warnings = again(change=as_older_releases)
        assert warnings == ["predicted again, since labels.json does not say what made them: a, b"]

    def test_does_not_take_what_another_model_left_for_finished_after_a_failure(
        self, predict, out, monkeypatch, capsys
    ):
        assert predict("--member", "abdomen", "-f", "0") == 0
        runs = []
        run_pass = running.run_pass

        def once(predictor, one, prepared):
            runs.append(prepared.source.name)
            if len(runs) == 2:
                raise RuntimeError("CUDA error: unspecified launch failure")
            return run_pass(predictor, one, prepared)

        monkeypatch.setattr(running, "run_pass", once)
        assert predict("--member", "abdomen", "-f", "1", "--overwrite") == 1
        assert list(labels_file(out)["cases"]) == ["a"]
        assert predict("--member", "abdomen", "-f", "1", "--continue") == 0
        assert runs == ["a", "b", "b"]
        cases = labels_file(out)["cases"]
        assert cases["a"] == cases["b"]
        assert "labels.json does not say what made them: b\n" in capsys.readouterr().err

    def test_an_overwritten_table_says_whose_values_it_does_not_hold(self, predict, images, out, capsys):
        assert predict("--member", "abdomen", "-f", "0") == 0
        options = ("--tasks", "liver", "--modality", "CT", "-f", "0", "--overwrite")
        assert predict(*options, source=images / "a_0000.nii.gz") == 0
        assert f"labels.json will not be that of these cases in {out} any more: b\n" in capsys.readouterr().err
        assert list(labels_file(out)["cases"]) == ["a"]

    @pytest.mark.parametrize("content", ['{"format_version": 9}', '{"format_version": 1, "cases": []}', "[]", "{"])
    def test_a_table_that_is_none_is_refused(self, predict, out, capsys, content):
        out.mkdir()
        (out / "labels.json").write_text(content)
        assert predict("--member", "abdomen", "--continue") == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert str(out / "labels.json") in line
        assert "add --overwrite" in line


class TestProvenance:
    def test_is_that_of_weights_plans_and_options(self, model):
        def provenance(folds=(0, 1), **options):
            return Provenance.of(read_model_folder(model, folds), **{"tile_step": 0.5, **options})

        first = provenance()
        assert first.hash == provenance().hash
        assert list(first.weights) == ["0", "1"]
        assert all(len(digest) == 64 for digest in first.weights.values())
        others = [provenance(folds=(1, 0)), provenance(folds=(1,)), provenance(tile_step=0.4)]
        plans = json.loads((model / "plans.json").read_text())
        plans["configurations"]["3d_fullres"]["spacing"] = [3, 3, 3]
        (model / "plans.json").write_text(json.dumps(plans))
        others.append(provenance())
        assert len({one.hash for one in (first, *others)}) == 5
        assert others[-1].differences(first.to_json()) == ["plans"]
