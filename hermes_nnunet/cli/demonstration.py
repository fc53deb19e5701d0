"""The whole way on phantom data: write, merge, plan, train, predict each member, compare, draw."""

import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from hermes_nnunet.core.commands import KEEP_FREED_MEMORY, find_commands, run_logged
from hermes_nnunet.core.dice import CaseDice, dice_of_folder, mean_by_label, mean_dice, mean_of_defined
from hermes_nnunet.core.files import write_json
from hermes_nnunet.core.nnunet_files import read_dataset_json
from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.report import draw_report
from hermes_nnunet.data.phantoms.phantoms import PhantomDataset, write_phantoms
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.demo_schedule import EPOCHS

COLLECTION_ID = 990
CONFIGURATION = "3d_fullres"
TRAINER_AND_PLANS = ("-tr", "HermesTrainerDemo", "-p", "HermesSPlans")
# Patches of 28 x 24 x 28 voxels, which hold most of a phantom, two a batch: half a second a step on two cores.
SIZE = ("-overwrite_target_spacing", "5", "5", "5", "-gpu_memory_target", "0.05")

REPORT = "report.png"
MERGE_FILE = "merge.yaml"
DICE_FILE = "dice.json"
FORMAT_VERSION = 1

_MARKER = ".hermes_demo"
_NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_PREDICTIONS = "predictions"
_LOGS = "log"
_END_OF_EPOCH = "Epoch time:"


@dataclass(frozen=True)
class DemoResult:
    """Dice of the held-out cases by member, and the picture."""

    members: dict[str, CaseDice]
    report: Path

    @property
    def mean(self) -> float:
        """Mean over members."""
        return mean_of_defined(mean_dice(cases) for cases in self.members.values())


def run_demo(folder: Path, device: str, commands_folder: Path | None = None) -> DemoResult:
    """Run the whole way in a folder, and say each step on screen.

    Args:
        folder: made, or emptied where an earlier demo made it.
        device: as nnU-Net's -device.
        commands_folder: where the stock commands and ours are; that of the running Python by default.

    Raises:
        HermesError: the folder is not the demo's, or a command is missing or failed.
    """
    # Not resolved: in a virtual environment the interpreter is a link, and the commands lie beside the link.
    demo = _Demonstration(folder.absolute(), device, commands_folder or Path(sys.executable).parent)
    prepare_folder(demo.folder)
    phantoms = demo.write_phantoms()
    demo.merge(phantoms)
    demo.plan()
    demo.train()
    demo.predict(phantoms)
    return demo.compare(phantoms)


def prepare_folder(folder: Path) -> None:
    """Make a folder for the demo; where an earlier demo made it, remove what that demo wrote.

    Raises:
        HermesError: something else is in the folder.
    """
    marker = folder / _MARKER
    if folder.exists() and not marker.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HermesError(f"{folder} was not made by the demo: choose another folder with --folder")
    for name in (*_NNUNET_FOLDERS, _PREDICTIONS, _LOGS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (MERGE_FILE, REPORT, DICE_FILE):
        (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("Made by 'hermes_nnunet demo', which empties this folder when it runs again.\n")
    for name in (*_NNUNET_FOLDERS, _PREDICTIONS, _LOGS):
        (folder / name).mkdir()


class _Demonstration:
    """The steps, each with its line on screen and its log."""

    def __init__(self, folder: Path, device: str, commands_folder: Path) -> None:
        self.folder = folder
        self._device = device
        self._started = time.monotonic()
        self._commands = find_commands(
            ("hermes_nnunet", "nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict"), commands_folder
        )
        self._environment = {
            **{name: str(folder / name) for name in _NNUNET_FOLDERS},
            # The phantoms are small: starting a process takes longer than what it does.
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "2",
            "nnUNet_compile": "f",
            # On cores that are shared with other work, threads that spin while they wait take ten times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            **KEEP_FREED_MEMORY,
        }

    def write_phantoms(self) -> list[PhantomDataset]:
        self._announce("four phantom data sets: CT, T1, T2 and PET, each with some of the labels")
        return write_phantoms(self.folder / "nnUNet_raw")

    def merge(self, phantoms: Sequence[PhantomDataset]) -> None:
        self._announce("merge them into one collection")
        members = [
            {
                "dataset": phantom.dataset_id,
                "modality": phantom.kind.modality,
                "sampling_weight": phantom.kind.sampling_weight,
            }
            for phantom in phantoms
        ]
        merge_file = self.folder / MERGE_FILE
        merge_file.write_text(yaml.safe_dump({"name": "Phantoms", "into": COLLECTION_ID, "members": members}))
        self._run("merge", "hermes_nnunet", "merge", "--members", str(merge_file))

    def plan(self) -> None:
        self._announce("plan and preprocess")
        self._run(
            "plan", "nnUNetv2_plan_and_preprocess", "-d", str(COLLECTION_ID), "-pl", "HermesPlannerS",
            "-c", CONFIGURATION, *SIZE, "-npfp", "2", "-np", "2",
        )  # fmt: skip

    def train(self) -> None:
        self._announce(f"train one network on all of them ({self._device})")
        with tqdm(total=EPOCHS, unit="epoch") as bar:

            def count_epoch(line: str) -> None:
                if _END_OF_EPOCH in line:
                    bar.update()

            self._run(
                "train", "nnUNetv2_train", str(COLLECTION_ID), CONFIGURATION, "0", *TRAINER_AND_PLANS,
                "-device", self._device, on_line=count_epoch,
            )  # fmt: skip

    def predict(self, phantoms: Sequence[PhantomDataset]) -> None:
        self._announce("predict the held-out cases of each member with its own labels")
        for phantom in tqdm(phantoms, unit="member"):
            self._run(
                f"predict_{phantom.kind.name}", "nnUNetv2_predict", "-d", str(phantom.dataset_id),
                "-i", str(phantom.folder / "imagesTs"), "-o", str(self._predictions(phantom)),
                *TRAINER_AND_PLANS, "-c", CONFIGURATION, "-f", "0", "-device", self._device, "-npp", "0", "-nps", "0",
            )  # fmt: skip

    def compare(self, phantoms: Sequence[PhantomDataset]) -> DemoResult:
        self._announce("compare with the references")
        members: dict[str, CaseDice] = {}
        rows = []
        for phantom in phantoms:
            dataset_json = read_dataset_json(phantom.folder / "dataset.json", "run the demo again")
            cases = dice_of_folder(self._predictions(phantom), phantom.folder / "labelsTs", dataset_json)
            members[phantom.kind.name] = cases
            rows.append(self._picture(phantom, dataset_json, cases))
        result = DemoResult(members, self.folder / REPORT)
        write_json(_as_json(result), self.folder / DICE_FILE)
        draw_report(rows, result.report)
        return result

    def _picture(self, phantom: PhantomDataset, dataset_json: dict[str, Any], cases: CaseDice) -> PictureCase:
        case = min(cases)
        spacing = " x ".join(f"{step:g}" for step in phantom.kind.spacing)
        return PictureCase(
            title=f"{phantom.kind.name}, {case}\n{phantom.kind.orientation}, {spacing} mm",
            image=phantom.folder / "imagesTs" / f"{case}_0000.nii.gz",
            reference=phantom.folder / "labelsTs" / f"{case}.nii.gz",
            prediction=self._predictions(phantom) / f"{case}.nii.gz",
            labels=dataset_json["labels"],
            modality=phantom.kind.modality,
            dice={label: score for label, score in cases[case].items() if not math.isnan(score)},
        )

    def _predictions(self, phantom: PhantomDataset) -> Path:
        return self.folder / _PREDICTIONS / phantom.kind.name

    def _announce(self, step: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        print(f"[{minutes}:{seconds:02d}] {step}", flush=True)

    def _run(self, log: str, command: str, *arguments: str, **options: Any) -> None:
        run_logged(
            [self._commands[command], *arguments], self.folder / _LOGS / f"{log}.txt", self._environment, **options
        )


def _as_json(result: DemoResult) -> dict[str, Any]:
    """What dice.json holds; JSON has no nan, so an undefined Dice is null."""

    def defined(scores: dict[str, float]) -> dict[str, float | None]:
        return {name: None if math.isnan(score) else score for name, score in scores.items()}

    return {
        "format_version": FORMAT_VERSION,
        "mean": result.mean,
        "members": {
            name: {
                "mean": mean_dice(cases),
                "labels": defined(mean_by_label(cases)),
                "cases": {case: defined(scores) for case, scores in cases.items()},
            }
            for name, cases in result.members.items()
        },
    }
