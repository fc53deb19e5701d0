import builtins
import gzip
import json
import subprocess
import sys
from collections import Counter

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.prediction.views.write import write_views

SPLITS = [
    {"train": ["abdomen__a", "abdomen__b", "brain__x"], "val": ["abdomen__c", "brain__y"]},
    {"train": ["abdomen__c", "brain__y"], "val": ["abdomen__a", "abdomen__b", "brain__x"]},
]
# Voxel indices to mm; the first image's second axis runs along the patient.
AFFINES = {"a": [[1, 0, 0, 0], [0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 1]], "c": np.diag([1.5, 2, 4, 1])}


@pytest.fixture
def raw(tmp_path, monkeypatch, dataset_json):
    """nnUNet_raw with Dataset900_Both, its images, and folds; preprocessed and results are empty."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    folder = tmp_path / "raw" / "Dataset900_Both"
    folder.mkdir()
    dataset_json["dataset"] = {}
    for case in dataset_json["hermes"]["cases"]:
        image = nibabel.Nifti1Image(np.zeros((5, 6, 7), np.float32), np.array(AFFINES.get(case[-1], np.eye(4)), float))
        nibabel.save(image, tmp_path / "raw" / f"{case}_0000.nii.gz")
        dataset_json["dataset"][case] = {"images": [f"../{case}_0000.nii.gz"], "label": "x"}
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    return tmp_path / "raw"


@pytest.fixture
def model(raw, plans, dataset_json):
    """A universal model with one trained fold, and its views."""
    results = raw.parent / "results"
    folder = results / "Dataset900_Both" / "HermesTrainer__HermesPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").touch()
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    write_views(folder, results, [0])
    return folder


@pytest.fixture
def facts(capsys):
    """A function that gives what `hermes_nnunet inspect --json` prints."""

    def inspect(asked):
        assert main(["inspect", str(asked), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return inspect


class TestCollection:
    @pytest.mark.parametrize("asked", ["900", "Dataset900_Both"])
    def test_members_and_their_shares(self, asked, raw, facts):
        found = facts(asked)
        assert (found["format_version"], found["kind"], found["name"]) == (1, "collection", "Dataset900_Both")
        assert found["modalities"] == ["CT", "T1", "unknown"]
        abdomen, brain = (found["members"][name] for name in ("abdomen", "brain"))
        assert (abdomen["cases"], abdomen["patients"], abdomen["sampling_share"]) == (3, 3, 0.75)
        assert (brain["dataset_name"], brain["modalities"]) == ("Dataset012_brain", {"T1": 1})

    def test_tasks_with_ids_and_who_shares_them(self, raw, dataset_json, facts):
        block = dataset_json["hermes"]
        block["members"]["brain"]["tasks"] = ["brain/whole", "abdomen/liver"]
        (raw / "Dataset900_Both" / "dataset.json").write_text(json.dumps(dataset_json))
        found = facts("900")["tasks"]
        liver, _, whole, _ = ({key: task[key] for key in ("id", "name", "values", "members")} for task in found)
        assert liver == {"id": 0, "name": "abdomen/liver", "values": [1], "members": ["abdomen", "brain"]}
        assert whole == {"id": 2, "name": "brain/whole", "values": [3, 4], "members": ["brain"]}

    def test_where_tasks_are_not(self, raw, dataset_json, facts, capsys):
        block = dataset_json["hermes"]
        block["excludes"] = {"abdomen/liver": ["brain/whole"], "brain/whole": ["abdomen/liver"]}
        block["absent"] = {"brain": ["abdomen/spleen"]}
        (raw / "Dataset900_Both" / "dataset.json").write_text(json.dumps(dataset_json))
        found = facts("900")
        overlapping = {task["name"]: task["may_overlap"] for task in found["tasks"]}
        assert overlapping["abdomen/liver"] == ["brain/core"]
        assert overlapping["brain/core"] == ["abdomen/liver", "abdomen/spleen"]
        assert {name: member["absent"] for name, member in found["members"].items()} == {
            "abdomen": [],
            "brain": ["abdomen/spleen"],
        }
        assert main(["inspect", "900"]) == 0
        assert "absent from images of brain: abdomen/spleen\n" in capsys.readouterr().out

    def test_spacings_and_sizes_along_the_patients_axes(self, raw, facts):
        found = facts("900")
        assert found["image_sizes_from"] == "headers"
        assert found["members"]["abdomen"]["spacing_mm"] == {
            "smallest": [1, 1, 1],
            "median": [1, 2, 3],
            "largest": [1.5, 2, 4],
        }
        assert found["members"]["abdomen"]["size_voxels"]["smallest"] == [5, 6, 6]
        assert found["members"]["abdomen"]["size_voxels"]["largest"] == [5, 7, 7]

    def test_cases_of_each_fold(self, raw, facts):
        assert facts("900")["folds"] == [
            {"train": {"abdomen": 2, "brain": 1}, "val": {"abdomen": 1, "brain": 1}},
            {"train": {"abdomen": 1, "brain": 1}, "val": {"abdomen": 2, "brain": 1}},
        ]


class TestOthers:
    def test_plans_without_the_raw_images_tell_what_the_fingerprint_says(self, raw, plans, dataset_json, facts):
        folder = raw.parent / "preprocessed" / "Dataset900_Both"
        folder.mkdir()
        for image in raw.glob("*.nii.gz"):
            image.unlink()
        fingerprint = {"spacings": [[3, 2, 1]] * 5, "shapes_after_crop": [[7, 6, 5]] * 4 + [[8, 6, 5]]}
        for name, content in {
            "HermesPlans.json": plans,
            "dataset.json": dataset_json,
            "dataset_fingerprint.json": fingerprint,
        }.items():
            (folder / name).write_text(json.dumps(content))
        found = facts(folder / "HermesPlans.json")
        assert (found["kind"], found["image_sizes_from"]) == ("plans", "fingerprint")
        assert found["members"]["abdomen"]["spacing_mm"]["median"] == [1, 2, 3]
        assert found["members"]["brain"]["size_voxels"]["largest"] == [5, 6, 8]
        assert len(found["folds"]) == 2

    def test_a_model_tells_its_trained_folds(self, model, facts):
        found = facts(model)
        assert (found["kind"], found["trained_folds"]) == ("model", ["0"])
        assert len(found["tasks"]) == 4

    def test_a_view_tells_its_member_and_its_own_values(self, model, facts):
        (view,) = model.parents[1].glob(f"*_brain/{model.name}")
        found = facts(view)
        assert (found["kind"], found["name"]) == ("view", "Dataset012_brain")
        assert list(found["members"]) == ["brain"]
        assert [(task["id"], task["name"], task["values"]) for task in found["tasks"]] == [
            (2, "brain/whole", [1, 2]),
            (3, "brain/core", [2]),
        ]


class TestTables:
    def test_fit_a_terminal(self, model, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        assert main(["inspect", str(model)]) == 0
        heading, *lines = capsys.readouterr().out.splitlines()
        assert heading.endswith("2 members; 4 tasks; modalities CT, T1, unknown; trained folds 0")
        assert max(map(len, lines)) <= 80
        shown = [line.split() for line in lines]
        assert ["abdomen", "11", "3", "3", "75.0", "%", "CT", "0-1"] in shown
        assert ["abdomen", "1-1.5,", "1-2,", "1-4", "5,", "6-7,", "6-7"] in shown
        assert ["brain/whole", "2", "3,", "4", "brain"] in shown
        assert ["abdomen", "2", "+", "1", "1", "+", "2"] in shown


def test_every_image_is_opened_once_and_no_voxel_is_read(raw, facts, monkeypatch):
    opened, real = Counter(), builtins.open

    def counting(file, *arguments, **others):
        opened[str(file)] += 1
        return real(file, *arguments, **others)

    for path in raw.glob("*_0000.nii.gz"):
        # All that an image without voxels has.
        (raw / path.name).write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352]))
    monkeypatch.setattr(builtins, "open", counting)
    assert facts(900)["members"]["brain"]["size_voxels"]["largest"] == [5, 6, 7]
    images = {name: count for name, count in opened.items() if name.endswith(".nii.gz")}
    assert sorted(images) == sorted(map(str, raw.glob("*_0000.nii.gz")))
    assert set(images.values()) == {1}


class TestProblems:
    def test_what_is_not_there_is_told(self, raw, capsys):
        assert main(["inspect", "901"]) == 1
        assert "901 is neither a folder nor a data set with a model" in capsys.readouterr().err

    def test_a_plain_data_set_is_told(self, raw, capsys):
        folder = raw / "Dataset011_abdomen"
        folder.mkdir()
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
        (folder / "dataset.json").write_text(json.dumps(content))
        assert main(["inspect", "11"]) == 1
        assert "has no 'hermes' block, so it is not made for Hermes" in capsys.readouterr().err

    def test_without_nnunets_variables_it_asks_for_a_folder(self, monkeypatch, capsys):
        for name in ("raw", "preprocessed", "results"):
            monkeypatch.delenv(f"nnUNet_{name}", raising=False)
        assert main(["inspect", "900"]) == 1
        assert "give the id of a collection, or the folder of a model" in capsys.readouterr().err


def test_torch_is_not_loaded(model):
    code = f"import sys; from hermes_nnunet.cli.main import main; main(['inspect', {str(model)!r}])"
    code += "; print('torch' in sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines()[-1] == "False"
