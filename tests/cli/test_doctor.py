import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest
import torch

from hermes_nnunet.cli import doctor
from hermes_nnunet.cli.doctor import Finding, Status
from hermes_nnunet.cli.main import main
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training import lamb
from hermes_nnunet.plugin.points import PLUGIN_POINTS

TRAINER = PLUGIN_POINTS[0]
CONVERTERS = next(point for point in PLUGIN_POINTS if point.class_name is None)


@pytest.fixture
def healthy(monkeypatch, tmp_path):
    """Folders of nnU-Net's that exist, so that a test breaks one thing only."""
    for name in doctor.NNUNET_FOLDERS:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    return tmp_path


@pytest.fixture
def places(monkeypatch, tmp_path):
    """An nnU-Net and a checkout, both without plug-in folders."""
    nnunet, root = tmp_path / "env" / "nnunetv2", tmp_path / "checkout"
    nnunet.mkdir(parents=True)
    monkeypatch.setattr(doctor, "nnunet_folder", lambda: nnunet)
    monkeypatch.setattr(doctor, "hermes_root", lambda: root)
    monkeypatch.setattr(doctor, "_is_installed", lambda: True)
    return nnunet, root


def linked(point, nnunet, root):
    """Make a plug-in point of `nnunet` lead to a folder of `root`."""
    place = point.inside(nnunet)
    place.parent.mkdir(parents=True)
    (root / point.folder).mkdir(parents=True)
    place.symlink_to(root / point.folder)


class TestReport:
    def test_has_a_line_without_colours_for_each_finding(self, monkeypatch, capsys):
        monkeypatch.setattr(
            doctor, "examine", lambda: iter([Finding(Status.OK, "[a] 1"), Finding(Status.NOTE, "b" * 200)])
        )
        assert main(["doctor"]) == 0
        assert capsys.readouterr().out == f"ok       [a] 1\nnote     {'b' * 200}\neverything needed is there\n"

    def test_fails_where_something_is_missing(self, monkeypatch, capsys):
        monkeypatch.setattr(doctor, "examine", lambda: iter([Finding(Status.MISSING, "a"), Finding(Status.OK, "b")]))
        assert main(["doctor"]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "1 missing"

    def test_begins_before_torch_is_imported(self, tmp_path):
        script = (
            "import sys; from hermes_nnunet.cli import doctor; print(next(doctor.examine()).text); "
            "print({'torch', 'nnunetv2'} & set(sys.modules))"
        )
        printed = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True).splitlines()
        assert printed[0].startswith("Python 3.")
        assert printed[1] == "set()"


class TestVersions:
    def findings(self, monkeypatch, versions, requirements=("nnunetv2<2.9,>=2.8", 'pytest; extra == "test"')):
        def version(name):
            try:
                return versions[name]
            except KeyError:
                raise metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", lambda name: list(requirements))
        return list(doctor._versions())

    def test_that_fit_are_shown(self, monkeypatch):
        found = self.findings(monkeypatch, {"hermes-nnunet": "0.1.0", "nnunetv2": "2.8.1"})
        assert {finding.status for finding in found} == {Status.OK}
        assert found[-1].text.startswith("nnunetv2 2.8.1")

    @pytest.mark.parametrize("version", ["2.7.0", "2.9.0", "2.10"])
    def test_another_nnunet_is_a_problem(self, monkeypatch, version):
        found = self.findings(monkeypatch, {"hermes-nnunet": "0.1.0", "nnunetv2": version})
        assert found[-1] == Finding(
            Status.MISSING,
            f"nnunetv2 {version} is not the version that is needed: run pip install 'nnunetv2<2.9,>=2.8'",
        )

    def test_a_missing_dependency_is_named(self, monkeypatch):
        found = self.findings(monkeypatch, {"hermes-nnunet": "0.1.0"})
        assert found[-1] == Finding(Status.MISSING, "nnunetv2 is not installed: run pip install 'nnunetv2<2.9,>=2.8'")

    def test_of_an_uninstalled_hermes_say_how_to_install_it(self, monkeypatch):
        found = self.findings(monkeypatch, {})
        assert found[-1].status is Status.MISSING
        assert found[-1].text.endswith("is not installed: run 'pip install .' there")


class TestFolders:
    def test_that_exist_are_fine(self, healthy):
        found = list(doctor._folders())
        assert [finding.status for finding in found] == [Status.OK] * 3
        assert found[0].text.startswith(f"nnUNet_raw is {healthy / 'nnUNet_raw'} (")

    def test_an_unset_one_is_missing(self, healthy, monkeypatch):
        monkeypatch.delenv("nnUNet_results")
        assert list(doctor._folders())[2] == Finding(
            Status.MISSING, "nnUNet_results is not set: run 'export nnUNet_results=/path/to/nnUNet_results'"
        )

    def test_one_that_does_not_exist_is_missing(self, healthy):
        gone = healthy / "nnUNet_preprocessed"
        gone.rmdir()
        assert list(doctor._folders())[1] == Finding(
            Status.MISSING, f"nnUNet_preprocessed is {gone}, which is no folder: run 'mkdir -p {gone}'"
        )

    def test_one_that_cannot_be_written_is_missing(self, healthy, monkeypatch):
        monkeypatch.setattr(doctor.os, "access", lambda path, mode: not path.endswith("nnUNet_raw"))
        found = list(doctor._folders())
        assert [finding.status for finding in found] == [Status.MISSING, Status.OK, Status.OK]
        assert "where you may not write" in found[0].text


class TestPluginPoints:
    def test_folders_that_are_not_there_are_to_be_linked(self, places):
        found = list(doctor._plugin_points())
        assert [finding.status for finding in found] == [Status.MISSING] * len(PLUGIN_POINTS)
        assert found[0].text == (
            f"trainer: nnU-Net has no folder {TRAINER.inside(places[0])}: run 'hermes_nnunet link'"
        )

    def test_folders_that_an_installation_lost_are_to_be_installed_again(self, places, monkeypatch):
        monkeypatch.setattr(doctor, "hermes_root", lambda: places[0].parent)
        assert next(doctor._plugin_points()).text.endswith("'pip install --force-reinstall --no-deps .'")

    def test_a_folder_of_another_checkout_is_a_problem(self, places, tmp_path):
        linked(TRAINER, places[0], tmp_path / "other")
        found = next(doctor._plugin_points())
        assert found.status is Status.MISSING
        assert f"{TRAINER.inside(places[0])} is not the one of this hermes_nnunet" in found.text

    def test_a_link_to_nowhere_is_a_problem(self, places, tmp_path):
        linked(TRAINER, places[0], tmp_path / "other")
        (tmp_path / "other" / TRAINER.folder).rmdir()
        assert next(doctor._plugin_points()).status is Status.MISSING

    def test_a_class_that_nnunet_does_not_find_is_a_problem(self, places, monkeypatch):
        point = replace(
            CONVERTERS, what="label manager", class_name="NoSuchClass", searched_package="hermes_nnunet.plugin"
        )
        linked(point, *places)
        monkeypatch.setattr(doctor, "PLUGIN_POINTS", [point])
        found = next(doctor._plugin_points())
        assert found.status is Status.MISSING
        assert found.text.startswith("label manager: nnU-Net finds no NoSuchClass in ")

    def test_a_module_that_cannot_be_imported_is_a_problem(self, places, monkeypatch):
        point = replace(CONVERTERS, package="no_such_package.dataset_conversion.hermes")
        linked(point, *places)
        monkeypatch.setattr(doctor, "PLUGIN_POINTS", [point])
        found = next(doctor._plugin_points())
        assert found.status is Status.MISSING
        assert "fails (ModuleNotFoundError: No module named 'no_such_package')" in found.text

    def test_without_nnunet_are_one_line(self, monkeypatch):
        def missing():
            raise HermesError("nnU-Net is not installed here: run pip install nnunetv2")

        monkeypatch.setattr(doctor, "nnunet_folder", missing)
        assert list(doctor._plugin_points()) == [
            Finding(Status.MISSING, "nnU-Net is not installed here: run pip install nnunetv2")
        ]


class TestDevices:
    def test_count_the_threads_of_the_cpu(self):
        assert Finding(Status.OK, f"CPU with {torch.get_num_threads()} threads") in list(doctor._devices())

    def test_a_gpu_that_torch_cannot_use_is_noted(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
        found = list(doctor._devices())[-1]
        assert found.status is Status.NOTE
        assert "cannot use the NVIDIA GPU" in found.text


class TestLamb:
    def test_the_one_that_works_is_named(self, monkeypatch):
        monkeypatch.setattr(lamb, "working_lamb", lambda device: lamb.Lamb(torch.optim.SGD, "one that works"))
        assert list(doctor._lamb()) == [Finding(Status.OK, "optimizer LAMB of HermesTrainerPaper: one that works")]

    def test_without_any_something_is_missing(self, monkeypatch):
        def none_works(device):
            raise HermesError("none works: run pip")

        monkeypatch.setattr(lamb, "working_lamb", none_works)
        assert list(doctor._lamb()) == [
            Finding(Status.MISSING, "optimizer LAMB of HermesTrainerPaper: none works: run pip")
        ]
