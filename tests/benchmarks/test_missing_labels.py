"""What benchmarks/hidden_labels.py and unlabelled_cases.py are made of; the trainings themselves take hours."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = {301: "Head", 302: "Parotid", 303: "Cine", 304: "Atrium"}
CASES = [f"c{number}" for number in range(8)]
FOLDS = [{"train": CASES[:6], "val": CASES[6:]}]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Four members with two labels, of which every label file shows both; no command is run."""
    from comparison import data

    monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names))
    for number, name in NAMES.items():
        folder = tmp_path / "nnUNet_raw" / f"Dataset{number}_{name}"
        (folder / "imagesTr").mkdir(parents=True)
        (folder / "labelsTr").mkdir()
        content = {
            "channel_names": {"0": "x"},
            "labels": {"background": 0, "one": 1, "two": 2},
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        (folder / "splits_final.json").write_text(json.dumps(FOLDS))
        for case in CASES:
            voxels = np.resize([0, 1, 2], (3, 3, 3)).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "labelsTr" / f"{case}.nii.gz")
    configuration = {
        "architecture": {"network_class_name": "a.Net", "arch_kwargs": {"num_modalities": 2, "n_stages": 3}},
        "resampling_fn_probabilities": "x",
    }
    made = data.Workplace(tmp_path, tmp_path)
    made.commands_run = []

    def run(_, command, *arguments, **__):
        made.commands_run.append((command, *map(str, arguments)))
        if command == "hermes_nnunet" and arguments[0] == "pseudo-label":
            folder = tmp_path / "nnUNet_raw" / "Dataset353_PseudoLabels"
            folder.mkdir()
            (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "two": 1, "ignore": 2}}))
        elif command == "hermes_nnunet":
            number = arguments[arguments.index("--into") + 1]
            folder = tmp_path / "nnUNet_preprocessed" / f"Dataset{number}_Real{number}"
            folder.mkdir(parents=True)
            plans = {"configurations": {"3d_fullres": configuration}, "hermes": {}}
            (folder / "HermesSPlans.json").write_text(json.dumps(plans))

    made.run = run
    return made


def values_of(folder):
    return {file.name.removesuffix(".nii.gz"): set(np.unique(nibabel.load(file).dataobj)) for file in folder.iterdir()}


class TestHiding:
    @settings(deadline=None)
    @given(cases=st.integers(1, 30), labels=st.integers(2, 6), seed=st.integers(0, 9))
    def test_half_of_the_labels_stay_and_every_case_and_label_has_some(self, cases, labels, seed):
        from comparison.hiding import kept_labels

        names = [f"label {number}" for number in range(labels)]
        kept = kept_labels([f"c{number}" for number in range(cases)], names, seed)
        uses = [sum(name in own for own in kept.values()) for name in names]
        assert abs(sum(uses) - cases * labels / 2) <= 0.5
        assert all(kept.values())
        assert max(uses) - min(uses) <= 1
        assert kept == kept_labels([f"c{number}" for number in range(cases)], names, seed)

    def test_training_cases_lose_what_the_table_does_not_name(self, workplace, tmp_path):
        from comparison.hiding import hide_labels

        table = hide_labels(workplace, 301, 0)
        header, *lines = table.read_text().splitlines()
        assert header == "case,labels"
        said = dict(line.split(",") for line in lines)
        assert sorted(said) == CASES[:6]
        shown = values_of(tmp_path / "nnUNet_raw" / "Dataset331_Head" / "labelsTr")
        assert {case: shown[case] for case in said} == {
            case: {0, {"one": 1, "two": 2}[own]} for case, own in said.items()
        }
        assert shown["c6"] == shown["c7"] == {0, 1, 2}

    @pytest.mark.parametrize(("arm", "told"), [("told", True), ("background", False)])
    def test_the_merge_is_told_or_not(self, workplace, tmp_path, arm, told):
        import hidden_labels

        number = hidden_labels.ARMS[arm]
        workplace.prepare_collection(number=number, changes=hidden_labels.changes_of(arm, workplace, 0))
        members = yaml.safe_load((tmp_path / f"merge_{number}.yaml").read_text())["members"]
        assert [member["dataset"] for member in members] == [331, 302, 333, 304]
        assert [Path(member["annotated"]).parent.name for member in members if "annotated" in member] == (
            ["Dataset331_Head", "Dataset333_Cine"] if told else []
        )

    def test_all_labels_are_the_comparisons_own_training(self):
        import hidden_labels
        from comparison.arms import arm

        assert hidden_labels.training_of("all labels", 200, 0, 1) == arm("hermes", batches=200, seed=1)[0]
        told = hidden_labels.training_of("told", 200, 0, 1)
        assert (told.name, told.dataset, told.recipe.batches) == ("hermes_200_f0_s1_told", 906, 800)


class TestUnlabelledCases:
    OPTIONS = argparse.Namespace(batches=20, fold=0, seed=0, device="cpu")

    def merged(self, workplace, arm):
        import unlabelled_cases

        unlabelled_cases.prepare(arm, workplace, self.OPTIONS)
        return yaml.safe_load((workplace.folder / f"merge_{unlabelled_cases.ARMS[arm]}.yaml").read_text())

    def test_cases_left_out_are_in_no_fold(self, workplace, tmp_path):
        assert [member["dataset"] for member in self.merged(workplace, "left out")["members"]] == [301, 302, 343, 304]
        splits = json.loads((tmp_path / "nnUNet_raw" / "Dataset343_Cine" / "splits_final.json").read_text())
        assert splits == [{"train": CASES[:4], "val": CASES[6:]}]

    def test_images_have_no_label_files_and_the_merge_is_told(self, workplace, tmp_path):
        cine = self.merged(workplace, "images")["members"][2]
        assert (cine["dataset"], cine["unlabelled"]) == (344, ["c4", "c5"])
        shown = values_of(tmp_path / "nnUNet_raw" / "Dataset344_Cine" / "labelsTr")
        assert sorted(shown) == [*CASES[:4], *CASES[6:]]

    def test_pseudo_labels_share_the_tasks_that_the_model_is_sure_of(self, workplace, monkeypatch):
        from comparison.running import Training

        monkeypatch.setattr(Training, "run", lambda *_: None)
        content = self.merged(workplace, "pseudo-labels")
        assert content["members"][-1] == {"dataset": 353, "modality": "cineMRI"}
        assert content["shared_tasks"] == {"two": ["Cine/two", "PseudoLabels/two"]}
        (asked,) = (call for call in workplace.commands_run if "pseudo-label" in call)
        assert asked[-3:] == ("--tasks", "Cine/one", "Cine/two")
        assert asked[asked.index("-f") + 1] == "0"


class TestUnknownModality:
    @pytest.mark.parametrize("copies", [True, False])
    def test_the_plans_say_whether_images_are_preprocessed_twice(self, workplace, copies):
        workplace.prepare_collection(number=910, unknown_copies=copies)
        plans = json.loads((workplace.preprocessed(910) / "HermesSPlans.json").read_text())
        assert plans["hermes"]["unknown_copies"] is copies

    def test_arms_differ_by_the_share_alone(self):
        import unknown_modality

        always, tenth = (unknown_modality.training_of(name, 1000, 1, 2) for name in unknown_modality.ARMS)
        assert (always.name, tenth.name) == ("hermes_1000_f1_s2_always_told", "hermes_1000_f1_s2_a_tenth_unknown")
        assert (always.dataset, always.fold, always.recipe.batches) == (910, 1, 4000)
        assert always.recipe.unknown_modality_share == 0
        assert tenth.recipe == replace(always.recipe, unknown_modality_share=0.1)
