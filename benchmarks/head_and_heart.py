"""The whole way on four real, partially labelled data sets of three modalities, with the commands that a user types.

Links the data sets of SOURCE (nnUNet_raw of 301-304) into FOLDER/nnUNet_raw, merges, plans, preprocesses and trains on
the CPU, and predicts a held-out case of each member through its view. Compares the masks of the views with those of the
universal model's own validation, writes the Dice of the validation to benchmarks/results/head_and_heart.json and a
picture of one held-out case a member to FOLDER/report.png.

    python benchmarks/head_and_heart.py ../shared/data/raw /tmp/head_and_heart
"""

import argparse
import json
import os
import platform
import shutil
import time
from pathlib import Path

import nibabel
import numpy as np
import torch

import hermes_nnunet
from hermes_nnunet.collection import Collection, case_identifier, member_and_own_case
from hermes_nnunet.core.commands import find_commands, run_logged
from hermes_nnunet.core.dice import dice_of_case
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.report import draw_report

MEMBERS = {301: "CT", 302: "CT", 303: "cineMRI", 304: "LGE-MRI"}
TRAINER, PLANS, CONFIGURATION = "HermesTrainerDemo", "HermesSPlans", "3d_fullres"
MODEL = f"{TRAINER}__{PLANS}__{CONFIGURATION}"
COMMANDS = ("hermes_nnunet", "nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict")
RESULT = Path(__file__).parent / "results" / "head_and_heart.json"
FORMAT_VERSION = 1


class Run:
    """The steps, each a command with its output in FOLDER/log."""

    def __init__(self, source: Path, folder: Path, commands: Path) -> None:
        self.folder = folder
        self.commands = find_commands(COMMANDS, commands)
        self.environment = {
            f"nnUNet_{name}": str(folder / f"nnUNet_{name}") for name in ("raw", "preprocessed", "results")
        }
        self.environment |= {"nnUNet_def_n_proc": "2", "nnUNet_n_proc_DA": "1"}
        self.seconds: dict[str, float] = {}
        for made in ("log", "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (folder / made).mkdir(parents=True, exist_ok=True)
        for dataset in sorted(source.glob("Dataset30[1-4]_*")):
            link = folder / "nnUNet_raw" / dataset.name
            if not link.is_symlink():
                link.symlink_to(dataset.resolve())

    def step(self, name: str, command: str, *arguments: object) -> None:
        """Run one command; its duration is kept."""
        print(f"{name}: {command} {' '.join(map(str, arguments))}", flush=True)
        start = time.perf_counter()
        run_logged(
            [self.commands[command], *map(str, arguments)], self.folder / "log" / f"{name}.txt", self.environment
        )
        self.seconds[name] = round(time.perf_counter() - start, 1)

    def collection(self) -> Path:
        """Folder of the universal model."""
        return self.folder / "nnUNet_results" / "Dataset900_HeadHeart" / MODEL

    def train(self) -> None:
        """Merge, plan, preprocess, train and validate, unless a finished training is there."""
        pairs = [f"{number}:{modality}" for number, modality in MEMBERS.items()]
        self.step("merge", "hermes_nnunet", "merge", *pairs, "--into", 900, "--name", "HeadHeart")
        if (self.collection() / "fold_0" / "validation" / "dice_by_member.json").is_file():
            return
        spacing = ("-overwrite_target_spacing", 3, 3, 3)
        plan = ("-d", 900, "-pl", "HermesPlannerS", "-c", CONFIGURATION, *spacing, "-npfp", 2, "-np", 2)
        self.step("plan", "nnUNetv2_plan_and_preprocess", *plan)
        train = (900, CONFIGURATION, 0, "-tr", TRAINER, "-p", PLANS, "-device", "cpu", "--c")
        self.step("train", "nnUNetv2_train", *train)

    def predict(self, number: int, case: str, dataset: Path) -> Path:
        """Predict one held-out case through a member's view."""
        images, output = (self.folder / name / str(number) for name in ("input", "predictions"))
        shutil.rmtree(images, ignore_errors=True)
        images.mkdir(parents=True)
        shutil.copy(dataset / "imagesTr" / f"{case}_0000.nii.gz", images)
        model = ("-tr", TRAINER, "-p", PLANS, "-c", CONFIGURATION, "-f", 0, "-device", "cpu", "-npp", 1, "-nps", 1)
        self.step(f"predict_{number}", "nnUNetv2_predict", "-d", number, "-i", images, "-o", output, *model)
        return output / f"{case}.nii.gz"

    def compare(self) -> dict[str, float]:
        """Predict through the views, draw the report; share of voxels that equal the validation's, by member."""
        dataset_json = read_json(self.collection() / "dataset.json", "train first")
        collection = Collection.from_dataset_json(dataset_json, "Dataset900_HeadHeart")
        values = {task.name: task.values for task in collection.tasks}
        agreement, rows = {}, []
        for number, modality in MEMBERS.items():
            (dataset,) = (self.folder / "nnUNet_raw").glob(f"Dataset{number}_*")
            member = collection.members[dataset.name.split("_", 1)[1]]
            validation = self.collection() / "fold_0" / "validation"
            validated = sorted(validation.glob(case_identifier(member.name, "*.nii.gz")))[0]
            _, case = member_and_own_case(validated.name.removesuffix(".nii.gz"))
            prediction = self.predict(number, case, dataset)
            view, universal = (np.asarray(nibabel.load(path).dataobj) for path in (prediction, validated))
            own = foreground_values(member.labels).values()
            agreement[member.name] = min(
                float((np.isin(view, mine) == np.isin(universal, values[task])).mean())
                for task, mine in zip(member.tasks, own, strict=True)
            )
            reference = dataset / "labelsTr" / f"{case}.nii.gz"
            dice = dice_of_case(prediction, reference, member.labels)
            title = f"{member.name}\n{case} ({modality})"
            image = dataset / "imagesTr" / f"{case}_0000.nii.gz"
            rows.append(PictureCase(title, image, reference, prediction, member.labels, modality, dice))
        draw_report(rows, self.folder / "report.png")
        return agreement


def main() -> None:
    """Run all steps and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with Dataset301_... to Dataset304_...")
    parser.add_argument("folder", type=Path, help="where to work; a finished training there is used again")
    parser.add_argument("--commands", type=Path, default=Path(shutil.which("hermes_nnunet") or ".").parent)
    arguments = parser.parse_args()
    run = Run(arguments.source, arguments.folder, arguments.commands)
    run.train()
    agreement = run.compare()
    dice = read_json(run.collection() / "fold_0" / "validation" / "dice_by_member.json", "train again")
    write_json(
        {
            "format_version": FORMAT_VERSION,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
            "versions": {"hermes_nnunet": hermes_nnunet.__version__, "torch": torch.__version__},
            "trainer": TRAINER,
            "seconds": run.seconds,
            "validation_dice": dice,
            "voxels_of_views_equal_to_validation": agreement,
        },
        RESULT,
    )
    print(json.dumps(json.loads(RESULT.read_text()), indent=2))


if __name__ == "__main__":
    main()
