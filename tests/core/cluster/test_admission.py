import platform
from dataclasses import replace

import pytest

from hermes_nnunet.core.cluster import admission
from hermes_nnunet.core.cluster.admission import Folders, problem_here, requirements
from hermes_nnunet.errors import HermesError


@pytest.fixture
def wanted(tmp_path):
    with requirements(Folders((tmp_path,), tmp_path)) as wanted:
        yield replace(wanted, machine="login")


def test_the_same_packages_and_folders_are_no_problem(wanted):
    assert set(wanted.versions) == {"hermes_nnunet", "nnunetv2", "torch"}
    assert problem_here(wanted) is None


@pytest.mark.parametrize("package", ["hermes_nnunet", "nnunetv2", "torch"])
def test_another_version_is_named(wanted, package):
    own = wanted.versions[package]
    other = replace(wanted, versions={**wanted.versions, package: "0.0.1"})
    assert problem_here(other) == (
        f"the worker on {platform.node()} has {package} {own}, login has 0.0.1: install the same there"
    )


def test_a_package_that_is_not_there_is_named(wanted, monkeypatch):
    monkeypatch.setattr(admission, "package_versions", lambda: {"hermes_nnunet": wanted.versions["hermes_nnunet"]})
    assert f"has nnunetv2 not installed, login has {wanted.versions['nnunetv2']}" in problem_here(wanted)


def test_a_folder_that_is_not_seen_is_named(wanted, tmp_path):
    missing = tmp_path / "images"
    problem = problem_here(replace(wanted, folders=(missing,)))
    assert problem.startswith(f"the worker on {platform.node()} does not see {missing}: share it")


def test_a_folder_of_the_same_name_that_is_another_is_named(wanted, tmp_path):
    elsewhere = replace(wanted, token=tmp_path / "other" / wanted.token.name)
    problem = problem_here(elsewhere, patience_s=0)
    assert problem.startswith(
        f"the worker on {platform.node()} does not see what login writes into {tmp_path / 'other'}: share this folder"
    )


def test_a_file_that_shows_late_is_waited_for(wanted, monkeypatch):
    looks = []

    def sleep(_):
        looks.append(1)
        wanted.token.touch()

    wanted.token.unlink()
    monkeypatch.setattr(admission.time, "sleep", sleep)
    assert problem_here(wanted) is None
    assert looks == [1]


def test_the_file_goes_after_the_run(tmp_path):
    with requirements(Folders((), tmp_path)) as wanted:
        assert list(tmp_path.iterdir()) == [wanted.token]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    with (
        pytest.raises(HermesError, match=r"absent cannot be written to \(No such file or directory\)"),
        requirements(Folders((), tmp_path / "absent")),
    ):
        pass
