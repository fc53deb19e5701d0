"""A random model's own segmentations are the labels of its held-out cases, so that it is right about them."""

import json
import re
import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import yaml

from hermes_nnunet.cli.main import main
from hermes_nnunet.collection import Case, Context
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.model import HermesModel
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.pseudo_labels import calibration, labelled_dataset
from hermes_nnunet.prediction.pseudo_labels.calibration import score_case
from hermes_nnunet.prediction.pseudo_labels.dataset import merge_lines, own_labels
from hermes_nnunet.prediction.pseudo_labels.labelled_dataset import Wish, label_images
from hermes_nnunet.prediction.views.write import write_views

LIVER, SPLEEN = "abdomen/liver", "abdomen/spleen"


@pytest.fixture
def raw(tmp_path, monkeypatch, dataset_json, write_image):
    """nnUNet_raw with Dataset900_Both; abdomen__u and brain__u have no labels."""
    folder = tmp_path / "raw" / "Dataset900_Both"
    (folder / "labelsTr").mkdir(parents=True)
    monkeypatch.setenv("nnUNet_raw", str(folder.parent))
    cases = dataset_json["hermes"]["cases"]
    for member, modality in (("abdomen", "CT"), ("brain", "T1")):
        cases[f"{member}__u"] = {"member": member, "modality": modality, "patient": "u", "annotated": []}
    dataset_json["dataset"] = {
        case: {"images": [f"../{case}_0000.nii.gz"], "label": f"labelsTr/{case}.nii.gz"} for case in cases
    }
    for seed, case in enumerate(cases):
        write_image(folder.parent / f"{case}_0000.nii.gz", seed=seed)
    splits = [
        {"train": ["abdomen__a", "abdomen__b"], "val": ["abdomen__c", "brain__x"]},
        {"train": ["abdomen__c"], "val": ["abdomen__a", "brain__y"]},
    ]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder.parent


@pytest.fixture
def model(raw, write_model):
    """One fold, whose held-out CT has its own segmentation for labels, and whose held-out T1 has none of these."""
    folder = write_model(0)
    loaded = HermesModel.load(folder)
    dataset = raw / "Dataset900_Both"
    for case, tasks, modality in (("abdomen__c", [LIVER, SPLEEN], "CT"), ("brain__x", ["whole", "core"], "T1")):
        found = loaded.predict(raw / f"{case}_0000.nii.gz", tasks=tasks, modality=modality)
        if modality == "T1":
            found.array[:] = 0
        found.to_nifti(dataset / "labelsTr" / f"{case}.nii.gz")
    return folder


def voxels_of(path):
    return np.asanyarray(nibabel.load(path).dataobj)


class TestDataset:
    def test_holds_what_the_model_is_sure_of_and_says_what_made_it(self, model, raw):
        made = label_images(read_model_folder(model), Wish(950, "Pseudo"), "cpu")
        assert made.folder == raw / "Dataset950_Pseudo"
        assert made.unsure == ("brain/whole", "brain/core")
        content = json.loads((made.folder / "dataset.json").read_text())
        assert content["labels"] == {"background": 0, "liver": 1, "spleen": 2, "ignore": 3}
        # Nobody is sure of anything in a T1.
        assert content["dataset"] == {
            "abdomen__u": {"images": ["../abdomen__u_0000.nii.gz"], "label": "labelsTr/abdomen__u.nii.gz"}
        }
        record = content["hermes_pseudo_labels"]
        assert record["model"] == f"Dataset900_Both/{model.name}"
        assert record["labels"]["liver"]["task"] == LIVER
        assert record["labels"]["liver"]["precision"] >= 0.9
        written = voxels_of(made.folder / "labelsTr" / "abdomen__u.nii.gz")
        predicted = HermesModel.load(model).predict(
            raw / "abdomen__u_0000.nii.gz", tasks=[LIVER, SPLEEN], modality="CT"
        )
        assert written.shape == predicted.array.shape
        sure = (written > 0) & (written < 3)
        assert sure.any()
        assert np.array_equal(written[sure], predicted.array[sure])
        assert not predicted.array[written == 0].any()

    def test_is_measured_in_the_context_that_the_images_get(self, model, raw, monkeypatch):
        told = {}

        def note(predictor, source, passes, take):
            told.setdefault(source.name, []).extend(one.context for one in passes)
            score_case(predictor, source, passes, take)

        for module in (calibration, labelled_dataset):
            monkeypatch.setattr(module, "score_case", note)
        label_images(read_model_folder(model), Wish(950, "Pseudo"), "cpu")
        # The held-out CT is not told the tasks that are asked for in a T1.
        assert told["abdomen__c"] == told["abdomen__u"] == [Context((LIVER, SPLEEN), "CT")]

    def test_is_measured_in_another_modality_where_none_of_its_own_tells(self, model, raw, dataset_json):
        dataset_json["hermes"]["cases"]["abdomen__u"]["modality"] = "unknown"
        (model / "dataset.json").write_text(json.dumps(dataset_json))
        made = label_images(read_model_folder(model), Wish(950, "Pseudo", ["abdomen"], ["liver"]), "cpu")
        assert made.thresholds[LIVER].cases == 1

    def test_a_merge_takes_it_in_for_training_only(self, model, raw, write_image):
        made = label_images(read_model_folder(model), Wish(950, "Pseudo"), "cpu")
        dataset = raw / "Dataset011_abdomen"
        (dataset / "imagesTr").mkdir(parents=True)
        (dataset / "labelsTr").mkdir()
        for case in "abcde":
            write_image(dataset / "imagesTr" / f"{case}_0000.nii.gz", seed=ord(case))
            shutil.copy(made.folder / "labelsTr" / "abdomen__u.nii.gz", dataset / "labelsTr" / f"{case}.nii.gz")
        content = {"channel_names": {"0": "CT"}, "numTraining": 5, "file_ending": ".nii.gz"}
        content["labels"] = {"background": 0, "liver": 1, "spleen": 2, "ignore": 3}
        (dataset / "dataset.json").write_text(json.dumps(content))
        members = (MemberSpecification(11, "CT"), MemberSpecification(950, "CT"))
        shared = {"liver": ["abdomen/liver", "Pseudo/liver"], "spleen": ["abdomen/spleen", "Pseudo/spleen"]}
        result = merge(MergeSpecification("Next", 901, members, shared_tasks=shared), processes=1)
        assert result.collection.task_names == ("liver", "spleen")
        for fold in result.folds:
            assert "Pseudo__abdomen__u" in fold["train"]
            assert fold["val"]
            assert not any(case.startswith("Pseudo") for case in fold["val"])
        assert any("a model has made the labels of Pseudo" in note for note in result.notes)


class TestCommand:
    def test_says_how_sure_it_is_and_what_to_merge(self, model, capsys):
        assert main(["pseudo-label", str(model), "--into", "950", "--tasks", "liver", "--member", "abdomen"]) == 0
        printed = capsys.readouterr().out
        assert "1 image labelled in" in printed
        assert "  - {dataset: Dataset950_PseudoLabelled, modality: CT}" in printed
        assert "  liver: [abdomen/liver, PseudoLabelled/liver]" in printed


class TestMergeLines:
    def test_tell_the_modality_of_each_case_by_one_pattern(self, collection):
        """Of members whose channels are cases of their own, and of members of several modalities, too."""
        channels = replace(collection.members["brain"], channels={"T1": 0, "T2": 1})
        cases = {
            "abdomen__a": Case("abdomen", "CT", "a", ()),
            "abdomen__a.b": Case("abdomen", "T1", "b", ()),
            "abdomen__axb": Case("abdomen", "CT", "c", ()),
            "brain__x__T1": Case("brain", "T1", "x", ()),
            "brain__x__T2": Case("brain", "T2", "x", ()),
        }
        collection = replace(collection, members={**collection.members, "brain": channels}, cases=cases)
        lines = merge_lines("Dataset950_Pseudo", collection, own_labels(collection.tasks[:1]), list(cases))
        (member,) = yaml.safe_load("\n".join(lines))["members"]
        for name, case in cases.items():
            found = [modality for modality, pattern in member["modality"].items() if re.search(pattern, name)]
            assert found == [case.modality], name

    def test_of_one_modality_are_a_word(self, collection):
        collection = replace(collection, cases={"abdomen__a": Case("abdomen", "CT", "a", ())})
        lines = merge_lines("Dataset950_Pseudo", collection, own_labels(collection.tasks[:1]), ["abdomen__a"])
        assert lines[1] == "  - {dataset: Dataset950_Pseudo, modality: CT}"


class TestBadInput:
    def refused(self, model, wish):
        with pytest.raises(HermesError) as error:
            label_images(read_model_folder(model), wish, "cpu")
        return str(error.value)

    def test_what_a_killed_run_left_goes_also_where_the_data_set_is_there(self, model, raw):
        (raw / ".writing-left").touch()
        (raw / "Dataset950_Pseudo").mkdir()
        self.refused(model, Wish(950, "Pseudo"))
        assert not (raw / ".writing-left").exists()

    def test_an_id_that_is_taken(self, model):
        assert "id 900 is taken by Dataset900_Both in nnUNet_raw" in self.refused(model, Wish(900, "Pseudo"))

    def test_a_name_that_is_no_name(self, model):
        assert "name of the data set" in self.refused(model, Wish(950, "a__b"))

    def test_a_confidence_that_is_no_share(self, model):
        assert "confidence 1.5: give a share" in self.refused(model, Wish(950, "Pseudo", confidence=1.5))

    def test_no_case_to_measure_on(self, model):
        assert "0 held-out cases of a member" in self.refused(model, Wish(950, "Pseudo", cases_per_member=0))

    def test_a_modality_of_the_environment(self, model, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "CT")
        assert "HERMES_MODALITY=CT, but the modality T1 is asked for" in self.refused(model, Wish(950, "Pseudo"))

    def test_a_view(self, model, results):
        write_views(model, results, [0])
        assert "is the view of one member" in self.refused(
            results / "Dataset011_abdomen" / model.name, Wish(950, "Pseudo")
        )

    def test_a_model_that_is_not_sure_leaves_nothing(self, model, raw):
        (raw / "Dataset900_Both" / "labelsTr" / "abdomen__c.nii.gz").unlink()
        shutil.copy(
            raw / "Dataset900_Both" / "labelsTr" / "brain__x.nii.gz",
            raw / "Dataset900_Both" / "labelsTr" / "abdomen__c.nii.gz",
        )
        assert "the model is not sure of any task" in self.refused(model, Wish(950, "Pseudo", tasks=["liver"]))
        assert not list(raw.glob("*950*"))

    def test_a_collection_whose_images_all_have_labels(self, model, dataset_json):
        for member in ("abdomen", "brain"):
            del dataset_json["hermes"]["cases"][f"{member}__u"]
        (model / "dataset.json").write_text(json.dumps(dataset_json))
        assert "all images of the model's collection have labels" in self.refused(model, Wish(950, "Pseudo"))

    def test_a_modality_without_labels_unless_tasks_are_named(self, model, dataset_json):
        dataset_json["hermes"]["cases"]["abdomen__u"]["modality"] = "unknown"
        (model / "dataset.json").write_text(json.dumps(dataset_json))
        assert "no labelled image of the model's collection is unknown" in self.refused(
            model, Wish(950, "Pseudo", members=["abdomen"])
        )

    def test_a_fold_without_held_out_cases(self, model):
        (model / "fold_0").rename(model / "fold_all")
        assert "fold all has no held-out cases" in self.refused(model, Wish(950, "Pseudo"))
