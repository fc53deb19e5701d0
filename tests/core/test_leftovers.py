"""What killed processes leave is removed; what others are writing is not."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from hermes_nnunet.core import leftovers
from hermes_nnunet.core.files import folder_written_beside, holds_files, temporary_folder_in, written_beside
from hermes_nnunet.core.leftovers import PREFIX, remove_leftovers, temporary_name

DAY = 24 * 3600


@pytest.fixture(scope="module")
def ended_process():
    """Number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def name_of():
    """A function that gives a temporary name with another process or machine."""

    def name(process=None, machine=None):
        own = temporary_name().removeprefix(PREFIX)
        place, _, number = own.rsplit("-", 2)
        return f"{PREFIX}{machine or place}-{os.getpid() if process is None else process}-{number}"

    return name


def add(folder, name, age=0.0):
    path = folder / name
    path.mkdir()
    (path / "half.nii.gz").write_text("half")
    os.utime(path, (time.time() - age,) * 2)
    return path


class TestRemoving:
    def test_of_an_ended_process(self, tmp_path, name_of, ended_process):
        left = add(tmp_path, name_of(ended_process))
        remove_leftovers(tmp_path)
        assert not left.exists()

    def test_not_of_a_running_process(self, tmp_path, name_of):
        others = [add(tmp_path, name_of(), 30 * DAY), add(tmp_path, name_of(os.getppid()), 30 * DAY)]
        remove_leftovers(tmp_path)
        assert all(path.exists() for path in others)

    @pytest.mark.parametrize(("age", "stays"), [(6 * DAY, True), (8 * DAY, False)])
    def test_of_another_machine_by_age(self, tmp_path, name_of, ended_process, age, stays):
        left = add(tmp_path, name_of(ended_process, "elsewhere-4026531836"), age)
        remove_leftovers(tmp_path)
        assert left.exists() == stays

    def test_of_a_release_that_wrote_files(self, tmp_path):
        (tmp_path / ".writing-abc.nii.gz").write_text("half")
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_link_goes_without_what_it_leads_to(self, tmp_path, name_of, ended_process):
        (tmp_path / "mine").mkdir()
        kept = tmp_path / "mine" / "file"
        kept.write_text("mine")
        (tmp_path / name_of(ended_process)).symlink_to(tmp_path / "mine")
        remove_leftovers(tmp_path)
        assert kept.read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]

    def test_nothing_else(self, tmp_path):
        kept = [add(tmp_path, name, 30 * DAY) for name in ("a", ".b", ".writin", "writing-1", ".Dataset900_A.merging")]
        remove_leftovers(tmp_path)
        assert all(path.exists() for path in kept)

    def test_a_missing_folder_is_empty(self, tmp_path):
        remove_leftovers(tmp_path / "no")
        assert list(tmp_path.iterdir()) == []

    def test_comes_with_the_next_write(self, tmp_path, name_of, ended_process):
        left = add(tmp_path, name_of(ended_process))
        with written_beside(tmp_path / "x.json") as temporary:
            temporary.write_text("{}")
        assert not left.exists()


def test_a_temporary_file_is_not_among_the_files_of_its_folder(tmp_path):
    with written_beside(tmp_path / "case.nii.gz") as temporary:
        temporary.write_text("half")
        assert list(tmp_path.glob("*.nii.gz")) == []
        assert [path.is_dir() for path in tmp_path.iterdir()] == [True]


class TestFolderWrittenBeside:
    def test_appears_with_its_content(self, tmp_path):
        with folder_written_beside(tmp_path / "model") as new:
            (new / "plans.json").write_text("{}")
            assert not (tmp_path / "model").exists()
        assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
            "model",
            "model/plans.json",
        ]

    def test_an_error_leaves_nothing(self, tmp_path):
        with contextlib.suppress(KeyError), folder_written_beside(tmp_path / "model") as new:
            (new / "plans.json").write_text("{}")
            raise KeyError
        assert list(tmp_path.iterdir()) == []

    def test_takes_the_place_of_folders_without_files(self, tmp_path):
        (tmp_path / "model" / "fold_0").mkdir(parents=True)
        assert not holds_files(tmp_path / "model")
        with folder_written_beside(tmp_path / "model") as new:
            (new / "plans.json").write_text("{}")
        assert [path.name for path in (tmp_path / "model").iterdir()] == ["plans.json"]

    def test_never_takes_the_place_of_files(self, tmp_path):
        (tmp_path / "model" / "fold_0").mkdir(parents=True)
        (tmp_path / "model" / "fold_0" / "mine").write_text("mine")
        assert holds_files(tmp_path / "model")
        with pytest.raises(OSError, match="not empty"), folder_written_beside(tmp_path / "model"):
            pass
        assert (tmp_path / "model" / "fold_0" / "mine").read_text() == "mine"

    def test_a_link_to_nothing_is_a_file(self, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").symlink_to("nowhere")
        assert holds_files(tmp_path / "model")


def test_names_are_told_apart(tmp_path):
    with temporary_folder_in(tmp_path) as one, temporary_folder_in(tmp_path) as other:
        assert one != other
        assert all(leftovers._NAME.fullmatch(path.name) for path in (one, other))
