"""A case that fails does not stop the others; what stops all is told in one line."""

import json
import os
import resource
import subprocess

import nibabel
import numpy as np
import pytest
import torch

from hermes_nnunet.core.leftovers import PREFIX
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.planning.resampling import size
from hermes_nnunet.prediction import running
from hermes_nnunet.prediction.failures import FailedCasesError, Failures

GPU_IS_LOST = RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


@pytest.fixture
def errors(capsys):
    """A function that gives the lines of the error that was printed last."""

    def read():
        lines = capsys.readouterr().err.split("hermes_nnunet: error: ")[-1].splitlines()
        return [line.strip() for line in lines]

    return read


def spoil(path):
    """Put NaN among the voxels of an image, which its header does not show."""
    image = nibabel.load(path)
    voxels = image.get_fdata(dtype=np.float32)
    voxels[3, 3, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path)


def results(out):
    return sorted(path.name for path in out.glob("*.nii.gz"))


def too_much_memory():
    torch.empty(2**50)


class TestOfCases:
    def test_keeps_what_is_wrong_with_a_case(self):
        failures = Failures()
        with failures.of("a"):
            raise HermesError("a.nii.gz is empty: copy it again")
        assert failures.reasons == {"a": "a.nii.gz is empty: copy it again"}
        with pytest.raises(FailedCasesError, match=r"^a: a\.nii\.gz is empty: copy it again$"):
            failures.raise_any(1)

    def test_lists_the_cases_by_name(self):
        failures = Failures()
        for case in ("b", "a"):
            with failures.of(case):
                raise HermesError(f"{case} is empty")
        with pytest.raises(FailedCasesError) as raised:
            failures.raise_any(3)
        assert str(raised.value) == "2 of 3 cases failed, the others are finished:\n  a: a is empty\n  b: b is empty"
        assert raised.value.reasons == {"a": "a is empty", "b": "b is empty"}

    @pytest.mark.parametrize(
        ("work", "amount"),
        [(lambda: torch.empty(2**50), "4194304.0 GiB"), (lambda: np.empty(2**58), "2.00 EiB")],
        ids=["torch", "numpy"],
    )
    def test_memory_is_told_with_the_amount(self, work, amount):
        failures = Failures()
        for block in (failures.of("a"), failures.of_network("b")):
            with block:
                work()
        assert len(set(failures.reasons.values())) == 1
        assert failures.reasons["a"].startswith(f"memory ran out ({amount} more were asked for): end other programs, ")

    @pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "7.dcm"), OSError("CRC check failed")])
    def test_a_file_that_is_gone_or_broken_is_the_cases(self, error):
        failures = Failures()
        with failures.of("a"):
            raise error
        assert failures.reasons["a"] in ("7.dcm: No such file", "CRC check failed")

    def test_a_fault_of_ours_is_told_and_can_be_looked_at(self):
        failures = Failures()
        with failures.of("a"):
            {}["affine"]
        with pytest.raises(FailedCasesError, match=r"a: KeyError: 'affine' \(please report it") as raised:
            failures.raise_any(1)
        assert isinstance(raised.value.__cause__, KeyError)

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), GPU_IS_LOST])
    def test_what_every_case_would_fail_at_is_raised(self, error):
        with pytest.raises(type(error)), Failures().of("a"):
            raise error

    @pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), KeyError("weights"), GPU_IS_LOST])
    def test_a_fault_of_the_network_is_raised(self, error):
        with pytest.raises(type(error)), Failures().of_network("a"):
            raise error


class TestGoesOn:
    def test_after_a_case_that_cannot_be_read(self, predict, images, out, errors):
        spoil(images / "a_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), np.eye(4)), images / "c_0000.nii.gz")
        assert predict("--member", "abdomen", "--statistics") == 1
        first, of_a, of_c = errors()
        assert first == "2 of 3 cases failed, the others are finished:"
        assert of_a.startswith(f"a: {images / 'a_0000.nii.gz'} holds NaN or infinite voxels")
        assert of_c.startswith(f"c: {images / 'c_0000.nii.gz'} has 4 dimensions")
        assert results(out) == ["b.nii.gz"]
        assert list(json.loads((out / "statistics.json").read_text())["cases"]) == ["b"]
        assert list(json.loads((out / "labels.json").read_text())["cases"]) == ["b"]

    def test_after_a_case_that_is_a_link_to_what_is_not_there(self, predict, images, out, errors):
        gone = images / "c_0000.nii.gz"
        gone.symlink_to("../.git/annex/c")
        assert predict("--member", "abdomen") == 1
        first, of_c = errors()
        assert first == "1 of 3 cases failed, the others are finished:"
        line = f"{gone} is a link to ../.git/annex/c, which is not there: bring that back, or remove the link"
        assert of_c == f"c: {line}"
        assert results(out) == ["a.nii.gz", "b.nii.gz"]

    def test_after_a_case_whose_header_would_take_too_much_memory(self, predict, images, out, errors, monkeypatch):
        monkeypatch.setattr(size, "memory_bytes", lambda: 2**30)
        image = nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.diag([4e3, 4e3, 4e3, 1]))
        nibabel.save(image, images / "c_0000.nii.gz")
        assert predict("--member", "abdomen") == 1
        _, of_c = errors()
        assert of_c == (
            f"c: {images / 'c_0000.nii.gz'}: voxels of 4000 x 4000 x 4000 mm would become 3200 x 3200 x 3200 of 2.5 x "
            "2.5 x 2.5 mm, which take 122.1 GiB where memory is 1 GiB: mend the spacing in the image's header, or cut "
            "the image"
        )
        assert results(out) == ["a.nii.gz", "b.nii.gz"]

    def test_and_later_with_the_mended_cases_only(self, predict, images, out, capsys):
        whole = (images / "a_0000.nii.gz").read_bytes()
        spoil(images / "a_0000.nii.gz")
        assert predict("--member", "abdomen") == 1
        (images / "a_0000.nii.gz").write_bytes(whole)
        assert predict("--member", "abdomen", "--continue") == 0
        assert capsys.readouterr().out.endswith(f"1 case segmented to {out}, 1 were finished before\n")
        assert results(out) == ["a.nii.gz", "b.nii.gz"]

    def test_after_a_case_whose_results_cannot_be_made(self, predict, out, errors, monkeypatch):
        write = HermesImageIO.write_seg

        def fails_for_a(self, seg, path, properties):
            if path.endswith("a.nii.gz"):
                raise IndexError("list index out of range")
            write(self, seg, path, properties)

        monkeypatch.setattr(HermesImageIO, "write_seg", fails_for_a)
        assert predict("--member", "abdomen", "--probabilities") == 1
        assert errors()[1].startswith("a: IndexError: list index out of range (please report it")
        assert results(out) == ["b.nii.gz"]
        assert not (out / "a.npz").exists()
        assert [path for path in out.iterdir() if path.name.startswith(PREFIX)] == []

    def test_after_a_case_that_is_too_large_for_the_memory(self, predict, out, errors, monkeypatch):
        runs = []
        run_pass = running.run_pass

        def too_large_for_a(predictor, one, prepared):
            runs.append(prepared.source.name)
            if prepared.source.name == "a":
                too_much_memory()
            return run_pass(predictor, one, prepared)

        monkeypatch.setattr(running, "run_pass", too_large_for_a)
        assert predict("--tasks", "liver,core") == 1  # two passes
        assert runs == ["a", "b", "b"]
        assert errors()[1].startswith("a: memory ran out (4194304.0 GiB more were asked for): end other programs")
        assert results(out) == ["b.nii.gz"]


class TestStops:
    @pytest.fixture
    def failing_with(self, monkeypatch):
        """A function that lets the network fail, and gives the cases that it was run for."""

        def run(error):
            cases = []

            def fails(predictor, one, prepared):
                cases.append(prepared.source.name)
                raise error

            monkeypatch.setattr(running, "run_pass", fails)
            return cases

        return run

    def test_where_the_gpu_is_lost(self, predict, failing_with, errors):
        cases = failing_with(GPU_IS_LOST)
        assert predict("--member", "abdomen") == 1
        assert errors() == [
            "the GPU failed (CUDA error: unspecified launch failure): see what nvidia-smi and the system's log say of "
            "it, and begin again"
        ]
        assert cases == ["a"]

    def test_where_the_model_has_a_fault(self, predict, failing_with):
        cases = failing_with(RuntimeError("shapes do not match"))
        with pytest.raises(RuntimeError, match="shapes do not match"):
            predict("--member", "abdomen")
        assert cases == ["a"]

    def test_where_a_file_may_not_be_so_large_and_tells_what_failed_before(self, predict, images, out, errors):
        spoil(images / "a_0000.nii.gz")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # probabilities of b take 30 kB
        try:
            code = predict("--member", "abdomen", "--probabilities")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert code == 1
        line, failed_before = errors()
        assert line == (
            f"{out / 'b.npz'} cannot be written, since files in {out} may not be so large: raise the limit (ulimit "
            "-f), or choose another folder"
        )
        assert failed_before.startswith("a: ")
        assert results(out) == []
        assert [path for path in out.iterdir() if path.name.startswith(PREFIX)] == []

    @pytest.mark.parametrize(("option", "free"), [("--probabilities", 36), ("--per-task", 12), ("--preview", 36)])
    def test_where_the_disk_is_full(self, small_disk, predict, errors, option, free):
        (small_disk / "other").write_bytes(bytes((64 - free) * 1024))
        assert predict("--member", "abdomen", option, output=small_disk / "out") == 1
        (line,) = errors()
        assert line.startswith(f"{small_disk / 'out'}/")
        assert "cannot be written, since its disk is full (0 MB are free in " in line
        assert results(small_disk / "out") == []
        assert [path for path in (small_disk / "out").iterdir() if path.name.startswith(PREFIX)] == []

    @pytest.fixture
    def small_disk(self, tmp_path):
        """A disk of 64 kB."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("only root mounts disks")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    @pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
    def test_where_a_folder_may_not_be_written(self, predict, out, errors):
        out.mkdir(mode=0o500)
        assert predict("--member", "abdomen") == 1
        assert "ask for the rights" in errors()[0]
