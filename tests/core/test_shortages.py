import errno
import os
import pickle
import tempfile

import numpy as np
import pytest
import torch

from hermes_nnunet.core.leftovers import temporary_name
from hermes_nnunet.core.shortages import (
    ending_in_one_line,
    is_of_all_files,
    is_of_memory,
    line_of,
    memory_for,
    write_error,
)
from hermes_nnunet.errors import HermesError, TrainingEndedError


def of_system(code, *names):
    first, second = (*names, None, None)[:2]
    return OSError(code, os.strerror(code), first, None, second)


class TestDisk:
    @pytest.mark.parametrize(
        ("code", "says"),
        [
            (errno.EDQUOT, "cannot be written, since your quota in {folder} is used up: make room"),
            (errno.EROFS, "cannot be written, since {folder} is read-only: choose another folder"),
            (errno.EFBIG, "cannot be written, since files in {folder} may not be so large: raise the limit"),
            (errno.EACCES, ": Permission denied: ask for the rights in {folder}"),
            (errno.EMFILE, "cannot be opened (Too many open files): raise the limit (ulimit -n 4096)"),
            (errno.EIO, ": Input/output error: the disk or share that holds {folder} fails"),
            (errno.ENOTDIR, ": Not a directory"),
        ],
    )
    def test_names_file_and_folder(self, tmp_path, code, says):
        line = line_of(of_system(code, str(tmp_path / "a.nii.gz")))
        assert line.startswith(str(tmp_path / "a.nii.gz"))
        assert says.format(folder=tmp_path) in line
        assert "\n" not in line

    def test_that_is_full_is_told_with_what_is_free(self, tmp_path):
        line = line_of(of_system(errno.ENOSPC, str(tmp_path / "new" / "a.nii.gz")))
        assert line.startswith(f"{tmp_path}/new/a.nii.gz cannot be written, since its disk is full (")
        assert f" MB are free in {tmp_path / 'new'}): make room, or choose another folder" in line

    def test_of_a_link_to_nowhere_is_told_with_where_it_leads(self, tmp_path):
        link = tmp_path / "Dataset900_Both"
        link.symlink_to(tmp_path / "disk")
        with pytest.raises(FileExistsError) as raised:
            link.mkdir(exist_ok=True)
        assert line_of(raised.value) == (
            f"{link} is a link to {tmp_path / 'disk'}, which is not there: bring that back, or remove the link"
        )

    def test_is_that_of_the_copy_where_a_copy_fails(self):
        assert line_of(of_system(errno.EROFS, "/there/a", "/here/a")).startswith("/here/a cannot be written")

    def test_never_names_a_temporary_folder(self, tmp_path):
        line = line_of(of_system(errno.EROFS, str(tmp_path / temporary_name())))
        assert line == f"{tmp_path} cannot be written, since {tmp_path} is read-only: choose another folder"

    def test_takes_the_place_that_is_worked_on_where_no_file_is_named(self, tmp_path):
        assert line_of(of_system(errno.EROFS), place=tmp_path).startswith(f"{tmp_path} cannot be written")
        assert f"a file in {tempfile.gettempdir()}" in line_of(of_system(errno.ENOSPC))

    def test_errors_without_a_number_say_what_they_say(self):
        assert line_of(OSError("CRC check failed")) == "CRC check failed"

    @pytest.mark.parametrize(
        "said",
        ["[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534", "basic_ios::clear: iostream error"],
    )
    def test_that_torch_could_not_write(self, said, tmp_path):
        error = RuntimeError(said)
        assert line_of(error, place=tmp_path / "a.pth").startswith(f"{tmp_path / 'a.pth'}")
        assert line_of(RuntimeError("[enforce fail at inline_container.cc:98] . invalid header")) is None

    def test_is_found_in_the_words_of_a_library(self):
        assert write_error("/x/a.mha", "File cannot be written: Reason: No space left on device").errno == errno.ENOSPC
        assert write_error("/x/a.mha", "Reason: File too large").errno == errno.EFBIG
        assert write_error("/x/a.nrrd", "couldn't write").errno == errno.EIO

    def test_errors_come_whole_from_other_processes(self):
        error = OSError(errno.ENOSPC, "No space left on device")
        error.filename = "/x/a.nii.gz"
        assert line_of(pickle.loads(pickle.dumps(error))) == line_of(error)


class TestMemory:
    @pytest.mark.parametrize(
        ("work", "amount"),
        [
            (lambda: torch.empty(2**50), " (4194304.0 GiB more were asked for)"),
            (lambda: np.empty(2**58), " (2.00 EiB more were asked for)"),
            (lambda: bytearray(2**60), ""),
        ],
        ids=["torch", "numpy", "python"],
    )
    def test_is_told_with_the_amount(self, work, amount):
        with pytest.raises((MemoryError, RuntimeError)) as raised:
            work()
        assert is_of_memory(raised.value)
        assert line_of(raised.value, remedy="wait") == f"memory ran out{amount}: wait"

    def test_of_the_gpu_is_told_apart(self):
        error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total of 8 GiB")
        assert line_of(error, remedy="wait") == "the memory of the GPU ran out (20.00 GiB more were asked for): wait"

    def test_is_told_with_what_was_worked_on(self):
        says = r"^a\.nii: memory ran out \(2\.00 EiB more were asked for\): wait$"
        with pytest.raises(HermesError, match=says), memory_for("a.nii", remedy="wait"):
            np.empty(2**58)
        with pytest.raises(RuntimeError, match="shapes"), memory_for("a.nii"):
            raise RuntimeError("shapes do not match")

    def test_other_faults_have_no_line(self):
        for error in (RuntimeError("shapes do not match"), KeyError("weights"), ValueError("memory")):
            assert line_of(error) is None

    def test_a_file_is_not_the_cause_where_all_would_fail(self):
        assert is_of_all_files(of_system(errno.EMFILE, "a.nii.gz"))
        assert not is_of_all_files(of_system(errno.EIO, "a.nii.gz"))
        assert not is_of_all_files(OSError("CRC check failed"))


class TestEnd:
    """Of a command of nnU-Net's, which catches nothing."""

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (HermesError("a.nii.gz is damaged\x1b[31m"), "a.nii.gz is damaged\\x1b[31m"),
            (MemoryError(), "memory ran out: plan for less"),
            (OSError(errno.EROFS, "Read-only file system"), "/out/log cannot be written, since /out is read-only: "),
        ],
    )
    def test_is_one_line(self, error, line):
        end = ending_in_one_line(place="/out/log", remedy="plan for less", end=TrainingEndedError)
        with pytest.raises(TrainingEndedError) as raised, end:
            raise error
        assert str(raised.value.code).startswith(line)

    @pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("CUDA error: device-side assert triggered")])
    def test_of_a_fault_keeps_its_traceback(self, error):
        with pytest.raises(type(error)), ending_in_one_line():
            raise error

    def test_is_told_once(self):
        with pytest.raises(TrainingEndedError, match="as it is"), ending_in_one_line(), ending_in_one_line():
            raise TrainingEndedError("as it is")
