"""Which files a folder holds, where folders are linked in any way."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.found_files import files_in, files_under, folders_in, is_broken_link
from hermes_nnunet.errors import HermesError

FOLDERS = 4


@pytest.fixture
def folder(tmp_path):
    """A file, a link to nothing, and one of each that is hidden, in a folder, one in it, and a hidden one in it."""
    for place in (tmp_path, tmp_path / "inner", tmp_path / ".cache"):
        place.mkdir(exist_ok=True)
        for name in ("a", ".b"):
            (place / name).touch()
        for name in ("c", ".d"):
            (place / name).symlink_to("gone")
    return tmp_path


def below(folder, paths):
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_links_to_what_is_not_there_are_files(folder):
    assert files_in(folder) == [folder / "a", folder / "c"]
    assert [is_broken_link(path) for path in files_in(folder)] == [False, True]
    assert below(folder, files_under(folder)) == ["a", "c", "inner/a", "inner/c"]


def test_linked_folders_are_looked_through(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive")
    (archive / "x").touch()
    (folder / "inner" / "far").symlink_to(archive)
    assert below(folder, files_under(folder)) == ["a", "c", "inner/a", "inner/c", "inner/far/x"]
    (folder / "far").symlink_to(archive)
    assert folders_in(folder) == [folder / "far", folder / "inner"]
    assert "far/x" in below(folder, files_under(folder))


def test_a_link_to_what_is_looked_through_anyway_shows_nothing_new(folder):
    (folder / "latest").symlink_to("inner")
    (folder / "inner" / "up").symlink_to("..")
    assert below(folder, files_under(folder)) == ["a", "c", "inner/a", "inner/c"]


def test_a_link_into_a_hidden_folder_is_followed(folder):
    (folder / "seen").symlink_to(".cache")
    assert "seen/a" in below(folder, files_under(folder))


def test_a_folder_that_cannot_be_read_is_no_empty_one(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(HermesError, match=r"inner cannot be looked through \(Permission denied\)"):
        list(files_under(folder))


@given(st.sets(st.tuples(*[st.integers(0, FOLDERS - 1)] * 2)))
def test_every_file_that_any_links_lead_to_is_found(links):
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name).resolve() / str(number) for number in range(FOLDERS)]
        for folder in folders:
            folder.mkdir()
            (folder / "file").touch()
        for source, target in links:
            (folders[source] / f"to {target}").symlink_to(folders[target])
        reached = {0}
        for _ in folders:
            reached |= {target for source, target in links if source in reached}
        found = {path.resolve() for path in files_under(folders[0])}
        assert found == {folders[number] / "file" for number in reached}
