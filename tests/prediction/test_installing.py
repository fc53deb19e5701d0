"""A zip from elsewhere: installed as nnU-Net installs it, or refused whole."""

import json
import os
import stat
import zipfile
from types import SimpleNamespace

import pytest
import torch

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.core.trusted_plans import TRUST_VARIABLE
from hermes_nnunet.prediction.installing import install

NAME = "HermesTrainer__HermesPlans__3d_fullres"
MODEL = f"Dataset900_Both/{NAME}"


@pytest.fixture
def contents(model):
    """What an export holds: name in the zip -> content."""
    files = {f"{MODEL}/{path.relative_to(model)}": path.read_bytes() for path in model.rglob("*") if path.is_file()}
    return {**files, f"{MODEL}/fold_0/progress.png": b"picture"}


@pytest.fixture
def elsewhere(model, tmp_path, monkeypatch):
    """Another, empty nnUNet_results, which the environment names from here on."""
    folder = tmp_path / "elsewhere" / "results"
    folder.mkdir(parents=True)
    monkeypatch.setenv("nnUNet_results", str(folder))
    return folder


@pytest.fixture
def zipped(tmp_path):
    """A function that writes a zip; entries may be ZipInfo, for what no honest program writes."""

    def write(contents):
        path = tmp_path / "model.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture
def refused(elsewhere, tmp_path, capsys):
    """A function that installs what must be refused, returns the message, and has seen that nothing was written."""

    def call(archive, *options):
        before = sorted(tmp_path.rglob("*"))
        assert main(["install", str(archive), *options]) == 1
        assert sorted(tmp_path.rglob("*")) == before
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    return call


class TestInstalling:
    def test_gives_the_model_that_was_exported(self, model, elsewhere, contents, zipped, images, capsys):
        here = HermesModel.load(model, device="cpu").predict(images / "b_0000.nii.gz", members=["abdomen"])
        assert main(["install", str(zipped(contents))]) == 0
        installed = elsewhere / MODEL
        assert capsys.readouterr().out == f"{installed}\n"
        there = HermesModel.load(900, device="cpu").predict(images / "b_0000.nii.gz", members=["abdomen"])
        assert (here.array == there.array).all()
        assert (installed / "fold_0/progress.png").read_bytes() == b"picture"
        assert [path.name for path in elsewhere.iterdir()] == ["Dataset900_Both"]

    def test_what_nnunet_exports(self, model, elsewhere, tmp_path, monkeypatch):
        from nnunetv2.model_sharing.model_export import export_pretrained_model

        for fold in (0, 1):
            (model / f"fold_{fold}" / "validation").mkdir()
            (model / f"fold_{fold}" / "validation" / "summary.json").write_text("{}")
            (model / f"fold_{fold}" / "progress.png").write_text("picture")
        (model / "dataset_fingerprint.json").write_text("{}")
        monkeypatch.setenv("nnUNet_results", str(model.parents[1]))
        archive = tmp_path / "exported.zip"
        export_pretrained_model(
            "Dataset900_Both", str(archive), ("3d_fullres",), "HermesTrainer", "HermesPlans", folds=(0, 1)
        )
        monkeypatch.setenv("nnUNet_results", str(elsewhere))
        assert main(["install", str(archive)]) == 0
        assert HermesModel.load(900, device="cpu").tasks

    def test_a_model_that_is_there_stays_unless_it_may_be_replaced(self, elsewhere, contents, zipped, refused):
        mine = elsewhere / MODEL / "fold_4"
        mine.mkdir(parents=True)
        (mine / "checkpoint_final.pth").write_text("mine")
        assert "add --overwrite to replace it" in refused(zipped(contents))
        assert main(["install", str(zipped(contents)), "--overwrite"]) == 0
        assert sorted(path.name for path in (elsewhere / MODEL).iterdir()) == [
            "dataset.json",
            "fold_0",
            "fold_1",
            "plans.json",
        ]

    def test_other_models_and_files_of_the_data_set_stay(self, elsewhere, contents, zipped):
        other = elsewhere / "Dataset900_Both" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
        other.mkdir(parents=True)
        (other / "plans.json").write_text("mine")
        assert main(["install", str(zipped({**contents, "Dataset900_Both/inference_information.json": "{}"}))]) == 0
        assert (other / "plans.json").read_text() == "mine"
        assert (elsewhere / "Dataset900_Both/inference_information.json").is_file()

    def test_an_id_that_another_data_set_has_is_told(self, elsewhere, contents, zipped, refused):
        (elsewhere / "Dataset900_Mine").mkdir()
        assert "Dataset900_Mine has the id of Dataset900_Both" in refused(zipped(contents))

    def test_pickles_are_left_out_and_told(self, elsewhere, contents, zipped, capsys):
        pickled = f"{MODEL}/crossval_results_folds_0_1/postprocessing.pkl"
        assert main(["install", str(zipped({**contents, pickled: b"code"}))]) == 0
        assert f"left out, since a pickle can run code: {pickled}" in capsys.readouterr().out
        assert not list(elsewhere.rglob("*.pkl"))

    def test_a_kill_leaves_the_whole_model_or_none(self, kills, contents, zipped):
        archive = zipped(contents)
        kills.keep()
        kills.run(lambda: install(archive, kills.folder))
        whole = kills.snapshot()
        for change in kills.each(lambda: install(archive, kills.folder)):
            left = {name: data for name, data in kills.snapshot().items() if ".writing-" not in name}
            assert left in (whole, {"Dataset900_Both": None}, {}), change
            kills.run(lambda: install(archive, kills.folder, overwrite=True))
            assert kills.snapshot() == whole, change


class TestZips:
    @pytest.mark.parametrize(
        "name",
        [
            "../../outside",
            f"{MODEL}/../../../outside",
            "/tmp/h24_outside",
            f"{MODEL}/fold_0/..\\outside",
            f"{MODEL}//outside",
            f"{MODEL}/a\nb",
            f"{MODEL}/a\x1b[2Jb",
            f"{MODEL}/{'x' * 300}",
            f"{MODEL}/.hidden",
            "outside",
            "NotADataset/x/y",
            "Dataset900_Both",
        ],
    )
    def test_a_file_that_would_lie_elsewhere(self, contents, zipped, refused, name):
        refused(zipped({**contents, name: b"x"}))

    def test_a_name_that_goes_on_behind_a_nul(self, contents, zipped, refused):
        archive = zipped({**contents, f"{MODEL}/fold_0/aXb": b"x"})
        archive.write_bytes(archive.read_bytes().replace(b"fold_0/aXb", b"fold_0/a\0b"))
        assert "a\\x00b" in refused(archive)

    def test_a_link(self, contents, zipped, refused, tmp_path):
        link = zipfile.ZipInfo(f"{MODEL}/fold_9")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        assert "fold_9' is a link" in refused(zipped({**contents, link: str(tmp_path)}))

    def test_a_file_twice(self, contents, zipped, refused):
        again = zipfile.ZipInfo(f"{MODEL}/plans.json")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive = zipped({**contents, again: b"{}"})
        assert "holds a file twice" in refused(archive)

    def test_more_than_fits(self, contents, zipped, refused, monkeypatch):
        from hermes_nnunet.prediction import installing

        monkeypatch.setattr(installing.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
        assert "make room" in refused(zipped(contents))

    @pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"no zip", lambda data: b""])
    def test_a_damaged_one(self, contents, zipped, refused, damage):
        archive = zipped(contents)
        archive.write_bytes(damage(archive.read_bytes()))
        assert "is no zip, or damaged" in refused(archive)

    def test_a_flipped_bit(self, contents, zipped, refused):
        archive = zipped(contents)
        data = bytearray(archive.read_bytes())
        data[len(data) // 2] ^= 255
        archive.write_bytes(data)
        refused(archive)

    def test_none(self, refused, tmp_path):
        assert "does not exist" in refused(tmp_path / "no.zip")

    def test_without_a_model(self, zipped, refused):
        assert "so it is no model" in refused(zipped({"Dataset900_Both/notes.txt": b"x"}))


class TestModels:
    @pytest.fixture
    def touched(self, tmp_path):
        return tmp_path / "code_was_run"

    def change_plans(self, contents, change):
        plans = json.loads(contents[f"{MODEL}/plans.json"])
        change(plans)
        return {**contents, f"{MODEL}/plans.json": json.dumps(plans)}

    def test_a_command_in_the_plans(self, contents, zipped, refused, touched, elsewhere, monkeypatch):
        def change(plans):
            arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
            arguments |= {"nonlin": "os.system", "nonlin_kwargs": {"command": f"touch {touched}"}}

        archive = zipped(self.change_plans(contents, change))
        message = refused(archive)
        assert f"model.zip, {MODEL}/plans.json, '3d_fullres': nonlin is 'os.system'" in message
        assert "nothing was installed" in message
        monkeypatch.delenv(TRUST_VARIABLE, raising=False)
        assert main(["install", str(archive), "--trust-plans"]) == 0
        assert (elsewhere / MODEL).is_dir()
        assert not touched.exists()

    def test_a_command_in_a_checkpoint(self, contents, zipped, refused, touched, tmp_path):
        class Command:
            def __reduce__(self):
                return os.system, (f"touch {touched}",)

        torch.save({"network_weights": Command()}, tmp_path / "x.pth")
        hostile = {**contents, f"{MODEL}/fold_1/checkpoint_best.pth": (tmp_path / "x.pth").read_bytes()}
        message = refused(zipped(hostile))
        assert f"{MODEL}/fold_1/checkpoint_best.pth holds more than a checkpoint" in message
        assert not touched.exists()

    def test_a_path_for_a_name(self, contents, zipped, refused):
        def change(plans):
            plans["hermes"]["members"]["brain"]["dataset_name"] = "../../x"

        assert "hermes.members.brain.dataset_name: data set '../../x' is a path" in refused(
            zipped(self.change_plans(contents, change))
        )

    def test_half_of_one(self, contents, zipped, refused):
        del contents[f"{MODEL}/dataset.json"]
        assert f"{MODEL}/dataset.json does not exist: export the model again" in refused(zipped(contents))
