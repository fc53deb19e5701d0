"""Predictions on a cluster, and in parts: the same voxels and the same records as in one process."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hermes_nnunet.core.cluster.cluster import Cluster
from hermes_nnunet.prediction import on_cluster
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.on_cluster import predict_case
from hermes_nnunet.prediction.run_record import read_runs

from .conftest import NAME
from .test_command import files, voxels

WANTED = ("--tasks", "liver,core", "--modality", "CT", "--statistics")
# run.json has times, labels.json of a killed run may lack a case.
RECORDS = {"run.json"}


class Here(Cluster):
    """Runs every case in this process; some cases cost it three workers."""

    def __init__(self, deadly=()):
        self.deadly = deadly
        self.given = []

    def run(self, function, cases, description, take, folders, *, slots=1, bundle=1, coming=0):
        for name, case in cases.items():
            self.given.append((function, case))
            if name not in self.deadly:
                take(name, function(case))
        return {name: "3 workers died on it" for name in cases if name in self.deadly}


@pytest.fixture
def on(monkeypatch):
    """A function that lets --cluster local:1 be a cluster of the test's."""

    def use(cluster):
        from contextlib import contextmanager

        from hermes_nnunet.core.cluster import opening

        @contextmanager
        def opened(wish, *, threads):
            yield cluster

        monkeypatch.setattr(opening, "opened", opened)
        return cluster

    return use


@pytest.fixture
def here(predict, tmp_path):
    """Results of the same without a cluster."""
    folder = tmp_path / "here"
    assert predict(*WANTED, output=folder) == 0
    return folder


def same_files(folder, other):
    assert files(folder) == files(other)
    for name in files(folder) - RECORDS:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


class TestCluster:
    def test_gives_the_files_of_one_process(self, predict, out, here, on, capsys):
        cluster = on(Here())
        capsys.readouterr()
        assert predict(*WANTED, "--cluster", "local:1") == 0
        same_files(out, here)
        assert capsys.readouterr().out == f"2 cases segmented to {out}\n"
        (run,), (run_here,) = (read_runs(folder / "run.json") for folder in (out, here))
        assert run["device"] == f"{run_here['device']}, workers of local:1"
        assert list(run["cases"]) == ["a", "b"]
        assert {key: run[key] for key in ("options", "made_by", "passes", "failed")} == {
            key: run_here[key] for key in ("options", "made_by", "passes", "failed")
        }
        # The model is loaded once in a worker.
        assert len(on_cluster._predictors) == 1
        assert [case.source.name for function, case in cluster.given if function is predict_case] == ["a", "b"]

    def test_a_case_on_which_workers_die_is_left_out_and_told(self, predict, out, on, capsys):
        on(Here(deadly=["a"]))
        assert predict(*WANTED, "--cluster", "local:1") == 1
        assert "1 of 2 cases failed, the others are finished:\n  a: 3 workers died on it" in capsys.readouterr().err
        assert list(json.loads((out / "labels.json").read_text())["cases"]) == ["b"]
        on(Here())
        assert predict(*WANTED, "--cluster", "local:1", "--continue") == 0
        assert capsys.readouterr().out == f"1 case segmented to {out}, 1 were finished before\n"

    def test_an_image_that_cannot_be_read_is_told(self, predict, images, on, capsys):
        on(Here())
        content = (images / "a_0000.nii.gz").read_bytes()
        (images / "a_0000.nii.gz").write_bytes(content[: len(content) // 2])
        assert predict(*WANTED, "--cluster", "local:1") == 1
        assert "1 of 2 cases failed, the others are finished:\n  a: " in capsys.readouterr().err

    def test_a_worker_that_sees_another_model_does_nothing(self, predict, out, model, on, capsys):
        class Elsewhere(Here):
            def run(self, function, cases, *others, **options):
                plans = json.loads((model / "plans.json").read_text())
                (model / "plans.json").write_text(json.dumps({**plans, "original_median_spacing_after_transp": [9]}))
                return super().run(function, cases, *others, **options)

        on(Elsewhere())
        assert predict(*WANTED, "--cluster", "local:1") == 1
        assert f"{model} holds another model here than where the run was started" in capsys.readouterr().err
        assert not out.exists()

    def test_a_worker_with_another_modality_variable_does_nothing(self, predict, on, monkeypatch, capsys):
        class Elsewhere(Here):
            def run(self, function, cases, *others, **options):
                monkeypatch.setenv("HERMES_MODALITY", "T1")
                return super().run(function, cases, *others, **options)

        on(Elsewhere())
        on_cluster._predictors.clear()
        assert predict(*WANTED, "--cluster", "local:1") == 1
        assert "HERMES_MODALITY is T1 here, not set where the run was started" in capsys.readouterr().err

    def test_a_task_knows_of_no_other_case(self, predict, on):
        import pickle

        cluster = on(Here())
        assert predict(*WANTED, "--cluster", "local:1") == 0
        sizes = [len(pickle.dumps(case)) for _, case in cluster.given]
        assert max(sizes) < 20_000

    def test_a_worker_needs_not_our_working_directory(self, predict, images, on, monkeypatch, tmp_path):
        class Elsewhere(Here):
            def run(self, function, *others, **options):
                def there(case):
                    with monkeypatch.context() as context:
                        context.chdir("/")
                        return function(case)

                return super().run(there, *others, **options)

        on(Elsewhere())
        monkeypatch.chdir(tmp_path)
        relative = {"source": Path(images.name), "output": Path("out"), "asked": Path("results/Dataset900_Both") / NAME}
        assert predict(*WANTED, "--cluster", "local:1", **relative) == 0
        assert (tmp_path / "out" / "b.nii.gz").is_file()

    def test_has_workers_for_all_cases_though_one_loads_the_model_first(self, predict, on):
        class Counted(Here):
            def run(self, function, cases, *others, coming=0, **options):
                counts.append(max(len(cases), coming))
                return super().run(function, cases, *others, **options)

        counts = []
        on(Counted())
        assert predict(*WANTED, "--cluster", "local:4") == 0
        assert counts == [2, 2]

    def test_gpus_that_are_not_there_are_told(self, images, out, model, on, monkeypatch, capsys):
        import torch

        from hermes_nnunet.cli.main import main

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        on(Here())
        on_cluster._predictors.clear()
        assert main(["predict", "-i", str(images), "-o", str(out), "-m", str(model), *WANTED, "--gpus", "0"]) == 1
        assert "the device cuda is not there: choose one of cpu" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (("--gpus", "0", "--cluster", "local:1"), "--gpus and --cluster both say where to predict"),
            (("--gpus", "0,x"), "--gpus '0,x' is no list of GPUs"),
            (("--cluster", "nonsense"), "--cluster 'nonsense' is no cluster"),
            (("--part", "9/8"), "--part '9/8' is no part"),
        ],
    )
    def test_a_wrong_call_is_one_line(self, out, images, model, options, line, capsys):
        from hermes_nnunet.cli.main import main

        assert main(["predict", "-i", str(images), "-o", str(out), "-m", str(model), *options]) == 2
        assert line in capsys.readouterr().err
        assert not out.exists()


class TestParts:
    def test_together_are_the_whole(self, predict, out, here, capsys):
        capsys.readouterr()
        for number in (2, 1):
            assert predict(*WANTED, "--part", f"{number}/2") == 0
        assert capsys.readouterr().out == f"1 case segmented to {out}\n" * 2
        assert not (out / "labels.json").exists()
        assert predict(*WANTED, "--continue") == 0
        assert capsys.readouterr().out == f"0 cases segmented to {out}, 2 were finished before\n"
        same_files(out, here)
        runs = read_runs(out / "run.json")
        assert sorted(case for run in runs for case in run["cases"]) == ["a", "b"]
        assert not list(out.glob(".part-*"))

    def test_one_that_is_missing_is_done_in_the_end(self, predict, out, here, capsys):
        assert predict(*WANTED, "--part", "1/2") == 0
        capsys.readouterr()
        assert predict(*WANTED, "--continue") == 0
        assert capsys.readouterr().out == f"1 case segmented to {out}, 1 were finished before\n"
        same_files(out, here)

    def test_goes_on_where_it_was(self, predict, out, capsys):
        assert predict(*WANTED, "--part", "1/2") == 0
        assert predict(*WANTED, "--part", "1/2") == 1
        assert "exists: choose another folder, or add --continue" in capsys.readouterr().err
        assert predict(*WANTED, "--part", "1/2", "--continue") == 0
        assert "0 cases segmented" in capsys.readouterr().out

    def test_records_of_other_parts_are_as_new_as_they_are(self, predict, out, capsys):
        """By their names, 1/3 comes after 1/2."""
        assert predict(*WANTED, "-f", "0", "--part", "1/3") == 0
        assert predict(*WANTED, "-f", "1", "--part", "1/2", "--overwrite") == 0
        capsys.readouterr()
        assert predict(*WANTED, "-f", "0", "--part", "1/3", "--continue") == 0
        assert "1 case segmented" in capsys.readouterr().out
        assert predict(*WANTED, "-f", "1", "--part", "1/2", "--overwrite") == 0
        capsys.readouterr()
        assert predict(*WANTED, "-f", "0", "--continue") == 0
        assert capsys.readouterr().out == f"2 cases segmented to {out}\n"

    def test_a_killed_one_leaves_no_case_to_the_run_before(self, predict, out, capsys, monkeypatch):
        assert predict(*WANTED, "-f", "0") == 0

        def fail(*_):
            raise RuntimeError("CUDA error: unspecified launch failure")

        with monkeypatch.context() as patched:
            patched.setattr(Destination, "record", fail)
            assert predict(*WANTED, "-f", "1", "--part", "1/2", "--overwrite") == 1
        capsys.readouterr()
        assert predict(*WANTED, "-f", "0", "--continue") == 0
        assert capsys.readouterr().out == f"1 case segmented to {out}, 1 were finished before\n"

    def test_one_that_was_killed_before_its_first_record_is_gathered(self, predict, out):
        assert predict(*WANTED, "--part", "1/2") == 0
        (out / ".part-1-of-2" / "run.json").unlink()
        assert predict(*WANTED, "--continue", "--part", "2/2") == 0
        (out / ".part-2-of-2" / "run.json").unlink()
        assert predict(*WANTED, "--continue") == 0
        assert predict(*WANTED, "--continue") == 0

    def test_without_a_case_is_done(self, predict, capsys):
        assert predict(*WANTED, "--part", "3/3") == 0
        assert "0 cases segmented" in capsys.readouterr().out

    def test_that_is_being_written_is_not_gathered(self, predict, out, capsys):
        from hermes_nnunet.core.parts import Part
        from hermes_nnunet.prediction.parts import writing_part

        with writing_part(out, Part(1, 2)):
            assert predict(*WANTED, "--continue") == 1
        assert f"{out / '.part-1-of-2'} is being written by another process" in capsys.readouterr().err

    def test_of_other_tasks_is_not_gathered(self, predict, out, capsys):
        assert predict("--tasks", "liver", "--modality", "CT", "--part", "1/2") == 0
        assert predict(*WANTED, "--part", "2/2") == 0
        assert predict(*WANTED, "--continue") == 1
        assert "is of other tasks, modalities or kinds of files than" in capsys.readouterr().err
        assert predict(*WANTED, "--overwrite") == 0
        assert not list(out.glob(".part-*"))

    def test_that_is_refused_leaves_nothing(self, predict, out, images):
        assert predict("--tasks", "nonsense", "--part", "1/2") == 1
        assert not out.exists()

    def test_needs_a_modality_where_it_would_be_found(self, predict, monkeypatch, capsys):
        from hermes_nnunet.prediction import modality_finding

        monkeypatch.setattr(modality_finding, "is_to_find", lambda *_: True)
        assert predict("--tasks", "liver", "--part", "1/2") == 1
        assert "name it with --modality" in capsys.readouterr().err


@pytest.mark.distributed
def test_killed_workers_cost_no_case(predict, out, images, write_image, tmp_path, capfd):
    """Real workers, one of which is killed as soon as it has a case; then Ctrl-C ends none of the results."""
    for number in range(4):
        write_image(images / f"c{number}_0000.nii.gz", seed=number)
    here = tmp_path / "here"
    assert predict(*WANTED, output=here) == 0
    killed = []

    def kill_first_worker():
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not killed:
            for folder in out.glob(".writing-*"):
                process = int(folder.name.split("-")[-2])
                if process != os.getpid():
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_first_worker)
    killer.start()
    assert predict(*WANTED, "--cluster", "local:2") == 0
    killer.join()
    assert len(killed) == 1
    assert "has died; for another: " in capfd.readouterr().err
    for name in files(here) - RECORDS:
        if name.endswith(".nii.gz"):
            np.testing.assert_array_equal(voxels(out / name), voxels(here / name))
    assert json.loads((out / "labels.json").read_text()) == json.loads((here / "labels.json").read_text())
    assert not Path(f"/proc/{killed[0]}").exists()
