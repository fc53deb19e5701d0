"""How much memory of the GPU does a training take that was planned for so much, and how long is its step?

Two generated members of eight tasks each, images of 224^3 voxels at 1.5 mm, planned with each of our planners; the
first also with nnU-Net's residual encoder planners. Then the stock trainers, compiled as nnU-Net does it, take batches
of their own data workers, each plans in a process of their own. Memory is what PyTorch has taken from the card and
keeps; CUDA itself takes about half a GB more.

    python benchmarks/planned_memory.py FOLDER --prepare           (needs no GPU; what is there is not made again)
    python benchmarks/planned_memory.py FOLDER --device cuda
    python benchmarks/planned_memory.py FOLDER --device cpu --plans HermesSPlans --steps 1 --warm-up 0
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import nibabel
import numpy as np
import torch
from filelock import FileLock
from measuring import Row, parser, report, wait_for
from tqdm import tqdm

from hermes_nnunet.core.commands import find_commands, run_logged
from hermes_nnunet.core.files import write_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.watched_batches import unwatched

MEMBERS = {301: "First", 302: "Second"}
COLLECTION_ID, COLLECTION = 900, "Dataset900_Planned"
CASES, TASKS, SPACING_MM = 4, 8, 1.5
CONFIGURATION = "3d_fullres"
NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
GIGABYTE = 2**30
LOCK = "timing.lock"
COMMANDS = ("hermes_nnunet", "nnUNetv2_plan_and_preprocess")


@dataclass(frozen=True)
class Planned:
    """Plans, and what makes and uses them.

    Attributes:
        gigabytes: what the planner plans for; of the paper's it is asked for with -gpu_memory_target.
    """

    planner: str
    gigabytes: float
    trainer: str = "HermesTrainer"
    dataset: int = COLLECTION_ID
    is_target: bool = False


PLANS = {
    "nnUNetResEncUNetMPlans": Planned("nnUNetPlannerResEncM", 8, "nnUNetTrainer", 301),
    "HermesPlans": Planned("HermesPlanner", 8),
    "nnUNetResEncUNetLPlans": Planned("nnUNetPlannerResEncL", 24, "nnUNetTrainer", 301),
    "HermesLPlans": Planned("HermesPlannerL", 24),
    "nnUNetResEncUNetXLPlans": Planned("nnUNetPlannerResEncXL", 40, "nnUNetTrainer", 301),
    "HermesXLPlans": Planned("HermesPlannerXL", 40),
    "HermesSPlans": Planned("HermesPlannerS", 0.3),
    "HermesPaperRPlans": Planned("HermesPlannerPaperR", 24, "HermesTrainerPaper", is_target=True),
    "HermesPaperMPlans": Planned("HermesPlannerPaperM", 24, "HermesTrainerPaper", is_target=True),
}


def prepare(folder: Path, plans: Sequence[str], size: int, commands_folder: Path) -> None:
    """Write the members, merge, and plan and preprocess for each of the plans; what is there stays."""
    commands = find_commands(COMMANDS, commands_folder)
    for name in NNUNET_FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {name: str(folder / name) for name in NNUNET_FOLDERS}

    def run(log: str, command: str, *arguments: object) -> None:
        run_logged([commands[command], *map(str, arguments)], folder / f"{log}.txt", environment)

    for number, name in MEMBERS.items():
        _write_member(folder / "nnUNet_raw" / f"Dataset{number}_{name}", size, seed=number)
    if not (folder / "nnUNet_raw" / COLLECTION / "dataset.json").is_file():
        modalities = [f"{number}:CT" for number in MEMBERS]
        run("merge", "hermes_nnunet", "merge", *modalities, "--into", COLLECTION_ID, "--name", "Planned")
    for name in tqdm(plans, desc="Planning", unit="plans"):
        planned = PLANS[name]
        (raw,) = (folder / "nnUNet_raw").glob(f"Dataset{planned.dataset}_*")
        done = folder / f"{name}_is_prepared"
        if done.is_file():
            continue
        target = ("-gpu_memory_target", planned.gigabytes) if planned.is_target else ()
        run(
            f"plan_{name}", "nnUNetv2_plan_and_preprocess", "-d", planned.dataset, "-pl", planned.planner, *target,
            "-c", CONFIGURATION, "-npfp", 2, "-np", 2,
        )  # fmt: skip
        if planned.dataset != COLLECTION_ID:  # nnU-Net's own five folds need more cases
            cases = sorted(file.name.removesuffix(".nii.gz") for file in (raw / "labelsTr").iterdir())
            splits = folder / "nnUNet_preprocessed" / raw.name / "splits_final.json"
            write_json([{"train": cases, "val": cases[:1]}], splits)
        done.touch()


def _write_member(folder: Path, size: int, seed: int) -> None:
    """Images with a ball for each task."""
    if (folder / "dataset.json").is_file():
        return
    rng = np.random.default_rng(seed)
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    grid = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 3, indexing="ij"))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for case in tqdm(range(CASES), desc=folder.name, unit="case", leave=False):
        label = np.zeros((size,) * 3, np.uint8)
        for value in range(1, TASKS + 1):
            centre = rng.uniform(0.15 * size, 0.85 * size, 3).astype(np.float32)
            distance = ((grid - centre[:, None, None, None]) ** 2).sum(0)
            label[distance < rng.uniform(0.04 * size, 0.09 * size) ** 2] = value
        image = (label.astype(np.int16) * 50 + (grid[0] + grid[1]).astype(np.int16)) - 300
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / "imagesTr" / f"case_{case}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labelsTr" / f"case_{case}.nii.gz")
    write_json(
        {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0} | {f"organ{value}": value for value in range(1, TASKS + 1)},
            "numTraining": CASES,
            "file_ending": ".nii.gz",
        },
        folder / "dataset.json",
    )


def measure_one(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory and seconds of the training steps of these plans."""
    from nnunetv2.run.run_training import get_trainer_from_args

    planned, device = PLANS[name], arguments.device
    trainer = get_trainer_from_args(str(planned.dataset), CONFIGURATION, 0, planned.trainer, name, device=device)
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    batch = next(trainer.dataloader_train)
    warm = _seconds(lambda: [trainer.train_step(batch) for _ in range(1 + arguments.warm_up)], device)
    with FileLock(arguments.folder / LOCK):  # what is measured at once warms up together, and is timed alone
        alone = [_seconds(lambda: trainer.train_step(batch), device) for _ in range(arguments.steps)]
        loaded = [
            _seconds(lambda: trainer.train_step(next(trainer.dataloader_train)), device) for _ in range(arguments.steps)
        ]
    loss = float(trainer.train_step(batch)["loss"])
    for batches in map(unwatched, (trainer.dataloader_train, trainer.dataloader_val)):
        if hasattr(batches, "_finish"):
            batches._finish()
    memory = {}
    if device.type == "cuda":
        memory["GB"] = torch.cuda.max_memory_reserved(device) / GIGABYTE
        memory["tensors GB"] = torch.cuda.max_memory_allocated(device) / GIGABYTE
    return {
        "plans": name,
        "patch": " x ".join(map(str, trainer.configuration_manager.patch_size)),
        "batch": trainer.configuration_manager.batch_size,
        "planned GB": planned.gigabytes,
        **memory,
        "s": median(alone),
        "s with loading": sum(loaded) / len(loaded),
        "s until warm": warm,
        "loss": loss,
    }


def _seconds(function: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - start


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for each of the plans, of a process of its own; a failed one says so and is left out."""
    given = [sys.executable, __file__, str(arguments.folder), "--device", str(arguments.device)]
    given += ["--steps", str(arguments.steps), "--warm-up", str(arguments.warm_up)]

    def row_of(name: str) -> Row | None:
        result = arguments.folder / f"{name}.json"
        result.unlink(missing_ok=True)
        log = arguments.folder / f"measure_{name}.txt"
        try:
            run_logged([*given, "--one", name, "--plans", name], log, {})
        except HermesError as error:
            print(f"{name}: {error}", flush=True)
            return None
        return json.loads(result.read_text())

    with ThreadPoolExecutor(arguments.at_once) as pool:
        rows = list(tqdm(pool.map(row_of, arguments.plans), total=len(arguments.plans), unit="plans"))
    return [row for row in rows if row is not None]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/planned_memory*.json."""
    made = parser(__doc__, repeats=1)
    made.add_argument("folder", type=Path, help="where to work; what is prepared there is not prepared again")
    made.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    made.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    made.add_argument("--prepare", action="store_true", help="write, merge, plan and preprocess only")
    made.add_argument("--size", type=int, default=224, help="voxels an axis of the images (default: %(default)s)")
    made.add_argument("--steps", type=int, default=20, help="timed steps (default: %(default)s)")
    made.add_argument("--warm-up", type=int, default=5, help="steps before, after the first (default: %(default)s)")
    made.add_argument("--at-once", type=int, default=1, help="plans at a time, which share the card's memory")
    made.add_argument("--commands", type=Path, default=Path(shutil.which("hermes_nnunet") or ".").parent)
    made.add_argument("--one", choices=PLANS, help=argparse.SUPPRESS)
    arguments = made.parse_args(argv)
    arguments.folder = arguments.folder.resolve()
    for name in NNUNET_FOLDERS:
        os.environ[name] = str(arguments.folder / name)
    if arguments.one:
        (arguments.folder / f"{arguments.one}.json").write_text(json.dumps(measure_one(arguments.one, arguments)))
        return
    prepare(arguments.folder, arguments.plans, arguments.size, arguments.commands)
    if not arguments.prepare:
        name = "planned_memory" if arguments.device.type == "cpu" else f"planned_memory_{arguments.device.type}"
        settings = {
            "steps": arguments.steps,
            "tasks of a member": TASKS,
            "size": arguments.size,
            "plans at once": arguments.at_once,
        }
        rows = measure(arguments)
        if not rows:
            sys.exit(f"none of the plans could be trained: see {arguments.folder / 'measure_PLANS.txt'}")
        report(name, __doc__, settings, rows, arguments)


if __name__ == "__main__":
    main()
