"""Every file of ours and nnU-Net's that is read: a valid one, and everything that reads it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.cli.repeating import _recorded_run
from hermes_nnunet.collection import Collection
from hermes_nnunet.core.nnunet_files import read_dataset_json, read_fingerprint, read_plans, read_splits
from hermes_nnunet.core.paper.members import read_member_table
from hermes_nnunet.core.trusted_plans import check_plans
from hermes_nnunet.data.conversion.decathlon import decathlon_converter
from hermes_nnunet.data.conversion.target import RECORD_FILE, Settings, TargetFolder
from hermes_nnunet.data.merge.folds import read_own_folds
from hermes_nnunet.data.merge.merge_file import read_merge_file
from hermes_nnunet.data.merge.record import MergeRecord, read_record, specification_differences
from hermes_nnunet.data.merge.sources import read_member
from hermes_nnunet.data.merge.specification import MemberSpecification
from hermes_nnunet.learning.training.learning_curves import Epoch, LearningCurves, MemberEpoch
from hermes_nnunet.learning.training.member_dice import dice_by_member, read_summary, summary_key
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.planning.preprocessing.finished import Preprocessed, check_preprocessed
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.labels_file import LabelsFile
from hermes_nnunet.prediction.run_record import RUN_FILE, RunRecord, other_circumstances, runs_in
from hermes_nnunet.prediction.statistics import read_statistics, write_statistics
from hermes_nnunet.prediction.views.content import view_plans, view_summary
from hermes_nnunet.prediction.views.write import _owner, _read_marker
from hermes_nnunet.weights.additions.model_folder import taken_out_of
from hermes_nnunet.weights.settings import settings_of_config


@dataclass(frozen=True)
class Read:
    """A file, its valid content, and everything that reads it."""

    name: str
    content: Any
    read: Callable[[Path], object]


def of_dataset_json(content: dict, _: Collection) -> Read:
    def read(path: Path) -> None:
        collection = Collection.from_dataset_json(read_dataset_json(path, "merge again"), "x")
        collection.to_block()
        for case in collection.cases:
            collection.context_of(case)

    hermes = content["hermes"]
    partly = {
        name: {**case, "annotated": hermes["members"][case["member"]]["tasks"][:number]}
        for number, (name, case) in enumerate(hermes["cases"].items())
    }
    return Read("dataset.json", {**content, "hermes": {**hermes, "cases": {**hermes["cases"], **partly}}}, read)


def of_plans(content: dict, _: Collection) -> Read:
    def read(path: Path) -> None:
        plans = read_plans(path, "plan again")
        check_plans(plans, str(path))
        hermes_plans = HermesPlans.from_plans(plans)
        hermes_plans.to_block()
        for name in hermes_plans.members:
            if hermes_plans.members[name].channels:
                view_plans(plans, name)

    return Read("plans.json", content, read)


def of_splits(_: dict, collection: Collection) -> Read:
    cases = list(collection.cases)

    def read(path: Path) -> None:
        read_splits(path, "merge again")
        read_own_folds(path, {case: case for case in cases})

    return Read(
        "splits_final.json", [{"train": cases[:3], "val": cases[3:]}, {"train": cases[3:], "val": cases[:3]}], read
    )


def of_merge_record(_: dict, collection: Collection) -> Read:
    specification = {
        "name": "Both",
        "into": 900,
        "members": [
            {"dataset": "Dataset011_abdomen", "channels": [["CT", None]], "sampling_weight": None},
            {"dataset": "Dataset012_brain", "channels": [["T1", 1]], "labels": {"whole": "all"}},
        ],
        "shared_tasks": {},
    }
    record = MergeRecord(
        specification,
        {"abdomen": {"1": 1, "2": 2}, "brain": {"1": 3, "2": 4}},
        {case: [["../a_0000.nii.gz", 100, 10**18], ["a.nii.gz", 99, 10**18]] for case in collection.cases},
        {case: ["00ff"] for case in collection.cases},
        annotated={"abdomen__a": ["abdomen/liver"]},
    )

    def read(path: Path) -> None:
        found = read_record(path.parent, "merge again")
        specification_differences(found.specification, specification)
        found.says_the_same(record, "abdomen__a", "abdomen")

    return Read("hermes_merge.json", {"format_version": 1, **vars(record)}, read)


def of_view(_: dict, __: Collection) -> Read:
    content = {"format_version": 1, "member": "brain", "model": "/r/Dataset900_Both/m", "folds": ["0", "all"]}
    return Read("hermes_view.json", content, lambda path: (_owner(path.parent), _read_marker(path.parent)))


def of_learning_curves(_: dict, __: Collection) -> Read:
    epoch = Epoch(0, 0.01, 0.5, None, {"abdomen/liver": 0.9, "brain/core": None}, {"brain": MemberEpoch(3, 0.5, None)})
    curves = LearningCurves([epoch, epoch])

    def read(path: Path) -> None:
        LearningCurves.read(path).write(path.with_name("again.json"))

    return Read("learning_curves.json", lambda path: curves.write(path), read)


def of_summary(_: dict, collection: Collection) -> Read:
    metrics = {summary_key(task.values): {"Dice": 0.5, "IoU": float("nan"), "TP": 3} for task in collection.tasks}
    cases = [
        {"prediction_file": f"/v/{case}.nii.gz", "reference_file": "x", "metrics": metrics} for case in collection.cases
    ]

    def read(path: Path) -> None:
        content = read_summary(path, collection)
        dice_by_member(content, collection)
        for member in collection.members:
            view_summary(content, collection, member)

    return Read("summary.json", {"metric_per_case": cases, "mean": {}, "foreground_mean": {}}, read)


def of_conversion(_: dict, __: Collection) -> Read:
    settings = Settings("lits", "1", "/data", False, ("CT",), ("liver",), {"dose": ["high"]}, None)
    content = {
        "format_version": 1,
        **json.loads(json.dumps(vars(settings))),
        "made_from": {"b": "00ff"},
        "left_out": {"a": "no label"},
    }

    def read(path: Path) -> None:
        TargetFolder(path.parent).check_free(path.parent.parent, 5, settings)

    return Read(RECORD_FILE, content, read)


def of_labels(_: dict, __: Collection) -> Read:
    content = {
        "format_version": 1,
        "labels": [{"name": "liver", "value": 1, "values": [1], "member": "a", "colour": "#ffb000"}],
        "passes": [{"member": "a", "modality": "CT", "tasks": ["liver"]}],
        "runs": {"0f": {"weights": {"0": "ab"}, "model": "cd", "options": {"tile_step": 0.5, "spacing_from": None}}},
        "cases": {"x": "0f"},
        "images": {"x": {"written": "12", "content": "34"}},
        "files": {"x": [".nii.gz", ".png"], "y": ["/"]},
    }

    def read(path: Path) -> None:
        labels = LabelsFile.read(path.parent)
        labels.keep_cases_of(labels)
        labels.write(path.parent / "again")

    return Read("labels.json", content, read)


def of_statistics(_: dict, __: Collection) -> Read:
    content = {
        "a": {"liver": {"volume_ml": 3.5, "mean_intensity": None}},
        "b": {"liver": {"volume_ml": 0.0, "mean_intensity": -3}},
    }

    def read(path: Path) -> None:
        write_statistics(read_statistics(path.parent), path.parent / "again")

    return Read("statistics.json", {"format_version": 1, "cases": content}, read)


def of_run(_: dict, __: Collection) -> Read:
    run = {
        "versions": {"hermes_nnunet": "0.1.0"},
        "device": "cpu",
        "model": {"path": "/r/Dataset900_Both/m"},
        "made_by": {"weights": {"0": "ab"}, "model": "cd", "options": {"tile_step": 0.5}},
        "options": {"tasks": ["liver"], "modality": "CT", "all": False, "tile_step": 0.5, "folds": ["0"]},
        "input": "/in",
        "cases": {"a": {"images": ["/in/a.nii.gz"], "seconds": 1.5}},
    }

    def read(path: Path) -> None:
        before = _recorded_run(path)
        other_circumstances(before, before, path)
        RunRecord(path.parent / "again", runs_in(path.parent), before).add_case("a", [path], 1.0, [])

    return Read(RUN_FILE, {"format_version": 1, "runs": [run, run]}, read)


def of_additions(_: dict, __: Collection) -> Read:
    content = {"format_version": 1, "taken_out": ["cube", "gallbladder"]}
    return Read("hermes_additions.json", content, lambda path: taken_out_of(path.parent))


def of_member(_: dict, __: Collection) -> Read:
    content = {
        "name": "Belly",
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "organ": [1, 2], "tumour": 2, "ignore": 3},
        "regions_class_order": [1, 2],
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "dataset": {
            "p1": {"images": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"},
            "p2": {"images": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"},
            "u1": {"images": ["a.nii.gz", "b.nii.gz"]},
        },
        "hermes_annotated": {"p1": ["organ"]},
        "hermes_pseudo_labels": {"format_version": 1, "model": "Dataset900_Both/m"},
    }

    def read(path: Path) -> None:
        for name in ("a", "b", "c"):
            path.with_name(f"{name}.nii.gz").touch()
        member = MemberSpecification(path.parent.name, "CT", channel="CT", unlabelled=["u*"])
        read_member(path.parent.parent, member)

    return Read("dataset.json", content, read)


def of_fingerprint(_: dict, __: Collection) -> Read:
    content = {"spacings": [[1.5, 1, 1]] * 5, "shapes_after_crop": [[40, 50, 60]] * 5, "median_relative_size": 0.9}
    return Read("dataset_fingerprint.json", content, lambda path: read_fingerprint(path, "plan again"))


def of_decathlon(_: dict, __: Collection) -> Read:
    content = {
        "name": "Prostate",
        "labels": {"0": "background", "1": "PZ"},
        "modality": {"0": "T2", "1": "ADC"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        "release": "1.0",
    }
    converter = decathlon_converter("msd", task=None)
    return Read("dataset.json", content, lambda path: converter.resolve(path.parent))


def of_preprocessed(plans: dict, collection: Collection) -> Read:
    hermes_plans = HermesPlans.from_plans(plans)
    wanted = Preprocessed(
        {task.name: list(task.values) for task in collection.tasks},
        [1.5] * 3,
        hermes_plans.intensity_clipping,
        dict.fromkeys(collection.cases, "0123456789abcdef"),
    )

    def read(path: Path) -> None:
        folder = path.with_name("HermesPlans_3d_fullres")
        folder.mkdir(exist_ok=True)
        check_preprocessed(folder, wanted)

    return Read("HermesPlans_3d_fullres_preprocessed.json", {"format_version": 1, **asdict(wanted)}, read)


READS = (
    of_dataset_json,
    of_plans,
    of_splits,
    of_merge_record,
    of_view,
    of_learning_curves,
    of_summary,
    of_conversion,
    of_labels,
    of_statistics,
    of_run,
    of_additions,
    of_member,
    of_fingerprint,
    of_decathlon,
    of_preprocessed,
)


MERGE_FILE = {
    "name": "HeadHeart",
    "into": 900,
    "new_modalities": ["DIXON"],
    "members": [
        {"dataset": 301, "modality": "CT", "name": "cord", "labels": {"a": "b", "c": None}, "absent": ["Spine"]},
        {"dataset": "Dataset041_Brain", "channel": "FLAIR", "modality": "FLAIR", "sampling_weight": 4},
        {"dataset": 42, "channels": {"T1": "T1", 1: "DIXON"}, "absent": "others", "patient_pattern": r"(\d+)"},
        {"dataset": 43, "modality": {"T1": "_t1$", "T2": "_t2$"}, "annotated": {"a*": ["stem"]}, "unlabelled": ["u*"]},
        {"dataset": 44, "modality": "T2", "annotated": "cases.csv"},
        {"dataset": 45, "modality": "T2", "unlabelled": True},
    ],
    "shared_tasks": {"stem": ["cord/stem", "Brain/brainstem"]},
    "may_overlap": [["stem", "medulla"]],
    "shared_patients": ["cord", "Brain"],
    "spacing_from": "affine",
}
MEMBERS_FILE = {
    "format_version": 1,
    "voxel_order": "LPS",
    "modalities": ["CT", "T1", "unknown"],
    "members": {
        "a": {"modality": "CT", "labels": ["x", "y"], "sampling_weight": 2, "first_row": 0},
        "b": {"modality": ["T1", "unknown"], "tasks_of": "a", "labels": ["y"], "voxel_order": "RAS"},
    },
}
SETTINGS_FILE = {
    "arch": "medformer",
    "base_chan": 4,
    "norm": "in",
    "act": "relu",
    "conv_block": "BasicBlock",
    "down_scale": [2, 2, [2, 2, 2], 2],
    "num_heads": [1, 2, 4, 5, 4, 2, 1, 1],
    "fusion_heads": 5,
    "tn": 6,
    "mn": 3,
}
ARGUMENTS = {"base_width": 4, "widths": [8, 16, 32, 40, 32, 16, 8, 4], "fusion_width": 40, "head_width": 8}


def read_settings(path: Path) -> dict:
    return settings_of_config(path, HermesMedFormer, ARGUMENTS, task_rows=6, modality_rows=3)


# Content, and what reads it.
YAML_FILES = {
    "merge.yaml": (MERGE_FILE, read_merge_file),
    "members.yaml": (MEMBERS_FILE, read_member_table),
    "settings.yaml": (SETTINGS_FILE, read_settings),
}


def write_valid(read: Read, folder: Path) -> Path:
    """The valid file where its readers look for it; returns its path."""
    (folder / "again").mkdir(parents=True, exist_ok=True)
    path = folder / read.name
    if callable(read.content):
        read.content(path)
    else:
        path.write_text(json.dumps(read.content))
    return path


def read_of(of: Callable[[dict, Collection], Read], plans: dict, dataset_json: dict, collection: Collection) -> Read:
    """One of READS for a collection whose dataset.json lists its images."""
    cases = {case: {"images": [f"../{case}.nii.gz"], "label": f"labelsTr/{case}.nii.gz"} for case in collection.cases}
    return of(plans if of in (of_plans, of_preprocessed) else {**dataset_json, "dataset": cases}, collection)
