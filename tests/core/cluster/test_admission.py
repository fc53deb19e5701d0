import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from hermes_nnunet.core import appearing
from hermes_nnunet.core.cluster.admission import (
    COMPARED,
    Folders,
    asking_for_versions,
    problem_here,
    requirements,
    version_problem,
)
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.errors import HermesError

cloudpickle = pytest.importorskip("cloudpickle")


@pytest.fixture
def wanted(tmp_path):
    with requirements(Folders((tmp_path,), tmp_path)) as wanted:
        yield replace(wanted, machine="login")


def test_the_same_packages_and_folders_are_no_problem(wanted):
    machine, versions = asking_for_versions()(COMPARED)
    assert machine == platform.node()
    assert set(versions) == {"hermes_nnunet", "nnunetv2", "torch"}
    assert version_problem(machine, versions) is None
    assert problem_here(wanted) is None


@pytest.mark.parametrize("package", ["hermes_nnunet", "nnunetv2", "torch"])
def test_another_version_is_named(package):
    own = package_versions()
    line = version_problem("node7", {**{name: own[name] for name in COMPARED}, package: "0.0.1"})
    here = f"{platform.node()} has {package} {own[package]}"
    assert line == f"the worker on node7 has {package} 0.0.1, {here}: install the same there"


def test_a_package_that_is_not_there_is_named():
    own = package_versions()["nnunetv2"]
    assert version_problem("node7", {"nnunetv2": None}) == (
        f"the worker on node7 has no nnunetv2, {platform.node()} has nnunetv2 {own}: install the same there"
    )
    assert asking_for_versions()(["no-such-package"])[1] == {"no-such-package": None}


def test_a_worker_without_our_packages_understands_the_question():
    content = cloudpickle.dumps(asking_for_versions())
    script = f"import cloudpickle; print(cloudpickle.loads({content!r})(['cloudpickle'])[1])"
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['hermes_nnunet'] = None; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == f"{{'cloudpickle': '{cloudpickle.__version__}'}}"


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
    monkeypatch.setattr(appearing.time, "sleep", sleep)
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
