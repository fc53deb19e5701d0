"""What benchmarks/additions.py is made of; the trainings themselves take hours."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

NAMES = {301: "Head", 302: "Parotid", 303: "Cine", 304: "Atrium"}
CASES = [f"c{number}" for number in range(9)]
FOLDS = [{"train": CASES[6::-1], "val": CASES[7:]}]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Four members with the labels of the structures; no command is run, but noted in `commands_run`."""
    from comparison import data

    monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names))
    source = tmp_path / "source"
    for number, name in NAMES.items():
        folder = source / f"Dataset{number}_{name}"
        (folder / "imagesTr").mkdir(parents=True)
        (folder / "labelsTr").mkdir()
        labels = {"background": 0, "mandible": 1, "parotid_left": 2, "left_ventricle": 3}
        content = {"channel_names": {"0": "x"}, "labels": labels, "file_ending": ".nii.gz"}
        (folder / "dataset.json").write_text(json.dumps(content))
        (folder / "splits_final.json").write_text(json.dumps(FOLDS))
        for case in CASES:
            voxels = np.resize([0, 1, 2, 3], (4, 3, 3)).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "labelsTr" / f"{case}.nii.gz")
            (folder / "imagesTr" / f"{case}_0000.nii.gz").touch()
    commands_run = []
    monkeypatch.setattr(
        data.Workplace, "run", lambda _, log, *command, **named: commands_run.append([str(word) for word in command])
    )
    made = data.Workplace(tmp_path / "work", tmp_path)
    made.commands_run = commands_run
    made.link_members(source)
    return made


class TestExtension:
    def extension(self, workplace, **changes):
        from comparison.extension import Extension

        settings = {"member": 303, "batches": 300, "fold": 1, "seed": 0, "device": "cpu", **changes}
        return Extension(workplace, **settings)

    def test_base_has_the_batches_of_the_other_members_and_the_member_those_of_its_single(self, workplace):
        extension = self.extension(workplace)
        assert extension.base.recipe.batches == 900
        assert extension.training("addition").recipe.batches == 300
        assert (extension.base.dataset, extension.training("transfer").dataset) == (933, 943)

    def test_ways_differ_in_what_learns_how_fast(self, workplace):
        from comparison.running import TRAINER_AND_PLANS

        extension = self.extension(workplace)
        transfer, slower = (extension.training(way) for way in ("transfer", "transfer, slower layers"))
        assert TRAINER_AND_PLANS[transfer.arm] == TRAINER_AND_PLANS[slower.arm]
        assert transfer.recipe.base_share == transfer.recipe.first_layer_share == 1 > slower.recipe.base_share
        assert transfer.name != slower.name

    def test_recipe_of_transfer_is_the_trainers_own(self, workplace):
        from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_transfer import HermesTrainerTransfer as Trainer

        recipe = self.extension(workplace).training("transfer").recipe
        assert (recipe.base_share, recipe.first_layer_share) == (Trainer.base_share, Trainer.first_layer_share)

    def test_rate_of_an_addition_is_the_trainers_own(self, workplace):
        from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_addition import HermesTrainerAddition

        extension = self.extension(workplace)
        assert extension.training("addition").recipe.addition_rate == HermesTrainerAddition.addition_rate
        assert extension.training("addition, a quarter of the rate").recipe.addition_rate == 2e-3

    def test_few_cases_are_the_first_of_fold_0_in_a_fold_of_their_own(self, workplace, monkeypatch):
        from comparison.running import Training

        monkeypatch.setattr(Training, "run", lambda *_: None)
        extension = self.extension(workplace, fold=0)
        folder = extension.place.folder / "nnUNet_preprocessed" / "Dataset943_x"
        folder.mkdir(parents=True)
        names = [{kind: [f"Cine__{case}" for case in cases] for kind, cases in fold.items()} for fold in FOLDS * 3]
        (folder / "splits_final.json").write_text(json.dumps(names))
        training = extension.run("addition", few=True)
        fold = json.loads((folder / "splits_final.json").read_text())[training.fold]
        assert training.fold == 3
        assert sorted(fold["train"]) == [f"Cine__c{number}" for number in range(4)]
        assert fold["val"] == names[0]["val"]

    def test_an_extension_that_was_killed_is_made_anew(self, workplace, monkeypatch):
        from comparison.data import Workplace
        from comparison.running import Training

        monkeypatch.setattr(Training, "run", lambda *_: None)
        monkeypatch.setattr(Workplace, "prepare_collection", lambda *_: None)
        extension = self.extension(workplace)
        monkeypatch.setattr(Training, "fold_folder", lambda *_: Path("results/model/fold_1"))
        unfinished = extension.place.folder / "nnUNet_raw" / "Dataset943_x"
        unfinished.mkdir(parents=True)
        extension.prepare()
        assert not unfinished.exists()
        assert [command[:2] for command in workplace.commands_run] == [
            ["hermes_nnunet", "extend"],
            ["nnUNetv2_preprocess", "-d"],
        ]
        assert "303:cineMRI" in workplace.commands_run[0]
        extension.prepare()
        assert len(workplace.commands_run) == 2


class TestStructures:
    def test_have_data_sets_of_one_label_with_five_training_cases(self, workplace):
        from comparison.taught import STRUCTURES, write_structure

        folder = write_structure(workplace, STRUCTURES[1])
        assert folder.name == "Dataset382_LeftParotid"
        assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "parotid_left": 1}
        voxels = np.asarray(nibabel.load(folder / "labelsTr" / "c0.nii.gz").dataobj)
        assert np.array_equal(voxels == 1, np.resize([0, 1, 2, 3], (4, 3, 3)) == 2)
        (fold,) = json.loads((folder / "splits_final.json").read_text())
        assert fold == {"train": CASES[:5], "val": CASES[7:]}

    def test_are_taught_with_the_first_of_these(self, workplace):
        from comparison.taught import STRUCTURES, Teaching

        teaching = Teaching(workplace, 300, 0, 0, "cpu")
        (workplace.folder / "nnUNet_preprocessed" / "Dataset920_x").mkdir(parents=True)
        teaching.base.folder(workplace).mkdir(parents=True)
        seconds = teaching.teach(STRUCTURES[0], 3)
        assert set(seconds) == {"elapsed", "processor"}
        (command,) = workplace.commands_run
        examples = Path(command[command.index("--examples") + 1])
        assert sorted(file.name for file in (examples / "labelsTr").iterdir()) == [f"c{n}.nii.gz" for n in range(3)]
        assert all(file.is_file() for kind in ("imagesTr", "labelsTr") for file in (examples / kind).iterdir())
        assert command[command.index("--name") + 1] == "Mandible"

    def test_are_scored_on_the_held_out_cases(self, workplace, tmp_path):
        from comparison.taught import STRUCTURES, Teaching, write_structure

        teaching = Teaching(workplace, 300, 0, 0, "cpu")
        truth = write_structure(workplace, STRUCTURES[0]) / "labelsTr"
        for case in CASES[7:]:
            image = nibabel.load(truth / f"{case}.nii.gz")
            found = np.asarray(image.dataobj) if case == CASES[7] else np.zeros((4, 3, 3))
            nibabel.save(nibabel.Nifti1Image(found.astype(np.uint8), np.eye(4)), tmp_path / f"{case}.nii.gz")
        assert teaching.score(STRUCTURES[0], tmp_path) == pytest.approx(0.5)


class TestDifferences:
    @pytest.mark.parametrize("kind", [np.float32, np.float16, np.uint8])
    def test_are_counted_bit_by_bit(self, kind):
        from comparison.unchanged import differing

        one = np.zeros((2, 3, 4), kind)
        other = one.copy()
        assert differing(one, other) == (24, 0)
        other[1, 1, 1] = 1
        assert differing(one, other) == (24, 1)
        assert differing(np.float32([0.0]), np.float32([-0.0])) == (1, 1)

    def test_of_other_kinds_are_all(self):
        from comparison.unchanged import differing

        assert differing(np.zeros(3), np.zeros(3, np.float32)) == (3, 3)


class TestTable:
    def test_says_what_was_taught_and_what_was_forgotten(self, capsys):
        from additions import show

        size = {"batches_per_member": 300, "fold": 0, "seed": 0}
        old = {"base": {"a": 0.7, "b": 0.5}, "transfer": {"a": 0.1, "b": 0.1}}
        show(
            [
                {**size, "arm": "member", "dice": {"single": 0.61}, "old_members": old},
                {**size, "arm": "examples", "taught": {"1": {"dice": 0.32}}, "nnunet_with_5": 0.43},
            ]
        )
        shown = capsys.readouterr().out
        for number in ("0.610", "0.600", "0.100", "1 images 0.320", "0.430"):
            assert number in shown


class TestPicture:
    def test_shows_the_slice_with_most_of_the_structure_the_patients_right_on_the_left(self, tmp_path):
        from comparison.taught_picture import draw, slice_of

        mask = np.zeros((6, 8, 4), np.uint8)
        mask[5, 0, 2] = 1  # the patient's right, at the back
        files = [tmp_path / name for name in ("image.nii.gz", "truth.nii.gz", "found.nii.gz")]
        for file in files:
            turned = mask[::-1] if file.name == "image.nii.gz" else mask
            affine = np.diag([-1 if file.name == "image.nii.gz" else 1, 1, 2, 1])
            nibabel.save(nibabel.Nifti1Image(turned, affine), file)
        one = slice_of("a case", files[0], files[1], {"taught": files[2]})
        for plane in (one.image, *one.masks.values()):
            assert np.argwhere(plane).tolist() == [[7, 0]]
        draw([[one]], tmp_path / "picture.png")
        assert (tmp_path / "picture.png").stat().st_size > 1000
