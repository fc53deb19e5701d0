import runpy
import sys

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.data.conversion import registry


@pytest.fixture(autouse=True)
def installed():
    """Skips where nnU-Net does not see the converters."""
    try:
        registry.converter_names()
    except registry.HermesError as error:
        pytest.skip(str(error))


@pytest.fixture
def pancreas(tmp_path, monkeypatch):
    """A small task of the Decathlon, and an empty nnUNet_raw."""
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    source = tmp_path / "Task07_Pancreas"
    for part, case in (("imagesTr", "p_1"), ("imagesTr", "p_2"), ("labelsTr", "p_1"), ("labelsTr", "p_2")):
        (source / part).mkdir(parents=True, exist_ok=True)
        voxels = np.resize(np.arange(3, dtype=np.uint8), (4, 4, 4))
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1])), source / part / f"{case}.nii.gz")
    (source / "dataset.json").write_text(
        '{"name": "Pancreas", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "pancreas", "2": "cancer"}, '
        '"training": [{"image": "./imagesTr/p_1.nii.gz"}, {"image": "./imagesTr/p_2.nii.gz"}]}'
    )
    return source


class TestConvert:
    def test_converts_and_prints_the_summary(self, pancreas, tmp_path, capsys):
        assert main(["convert", "msd_pancreas", str(pancreas), "-d", "7", "--link", "--processes", "1"]) == 0
        folder = tmp_path / "raw/Dataset007_MSD_Pancreas"
        assert capsys.readouterr().out.splitlines() == [
            f"Medical Segmentation Decathlon, Pancreas -> {folder}",
            "training: 2 cases, 2 folds (fold 0: 1 train, 1 val)",
            "test: 0 cases, 0 with labels",
            "written now: 2 cases, before: 0",
        ]
        assert (folder / "imagesTr/p_1_0000.nii.gz").is_symlink()

    def test_names_the_folder_as_asked(self, pancreas, tmp_path):
        arguments = ["convert", "msd", str(pancreas), "-d", "8", "--name", "Mine", "--channels", "CT"]
        assert main([*arguments, "--processes", "1"]) == 0
        assert (tmp_path / "raw/Dataset008_Mine/dataset.json").is_file()

    @pytest.mark.parametrize("arguments", [[], ["bcv"], ["bcv", "folder"], ["-d", "11"]])
    def test_says_what_is_missing_in_the_call(self, arguments, capsys):
        assert main(["convert", *arguments]) == 1
        assert capsys.readouterr().err == (
            "hermes_nnunet: error: name the data set, its folder and an id: hermes_nnunet convert bcv FOLDER -d 11\n"
        )


class TestList:
    def test_shows_every_data_set(self, capsys):
        assert main(["convert", "--list"]) == 0
        shown = capsys.readouterr().out
        for name in registry.converter_names():
            assert name in shown

    def test_shows_one_data_set(self, capsys):
        assert main(["convert", "--list", "kits"]) == 0
        shown = capsys.readouterr().out
        assert "CC BY-NC-SA 4.0" in shown
        assert "bcv" not in shown


class TestModule:
    def test_runs_as_the_command(self, pancreas, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.argv", ["msd.py", str(pancreas), "-d", "9", "--processes", "1"])
        monkeypatch.delitem(sys.modules, f"{registry.PACKAGE}.msd", raising=False)
        with pytest.raises(SystemExit) as exit_:
            runpy.run_module(f"{registry.PACKAGE}.msd", run_name="__main__")
        assert exit_.value.code == 0
        assert (tmp_path / "raw/Dataset009_MSD_Pancreas/dataset.json").is_file()
