"""What do workers of dask cost against processes of our own, and what is lost when they are killed again and again?

Preprocesses the labelled cases of data sets 301 to 304 with two processes of nnUNetv2_preprocess and with
`hermes_nnunet preprocess --cluster local:2`; predicts images with `hermes_nnunet predict` in one process and on such
workers, with a small model of random weights at 3 mm. Then both once more on workers of which one is killed (SIGKILL)
every 20 seconds: all cases must be done, every voxel the same. "start" is the same with a case for each worker, most
of which is the start of processes.

The sides take turns, and a ratio is of one turn: other programs of the machine are in both. Processor time is of all
processes of a command together.

    python benchmarks/cluster.py ../shared/data/raw
"""

import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import blosc2
import nibabel
import numpy as np
import psutil
import torch
from made_collection import nnunet_folders
from measuring import Row, parser, report
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.cli.main import main as hermes
from hermes_nnunet.networks.build import build_network

MODALITIES = {301: "CT", 302: "CT", 303: "cineMRI", 304: "T1"}
COLLECTION_ID = 900
NAME = f"Dataset{COLLECTION_ID}_All"
PLANS = "HermesSPlans"
CONFIGURATION = "3d_fullres"
MODEL = f"HermesTrainer__{PLANS}__{CONFIGURATION}"
IMAGES = 20
WORKERS = 2
KILL_SECONDS = 20.0
# Seldom enough that a worker that has started works on a case, on a slow machine, too.
STARTS_BETWEEN_KILLS = 2
# Of the model, so that an image takes some seconds, not a fraction of what a process needs to start.
MODEL_SPACING_MM = 3.0
MODEL_PATCH = 64
MODEL_WIDTHS_DIVISOR = 2


ON_WORKERS = ("--cluster", f"local:{WORKERS}")


class Work(NamedTuple):
    """What is measured: on all cases and on a few, without workers of dask and with them.

    Attributes:
        same: whether what workers wrote is what was written without them.
    """

    name: str
    cases: int
    here: Callable[[], None]
    on_workers: Callable[[], None]
    few_here: Callable[[], None]
    few_on_workers: Callable[[], None]
    same: Callable[[], bool]


class Took(NamedTuple):
    """What a command took, its processes together."""

    elapsed: float
    processor: float


def command(*words: str, **environment: str) -> None:
    """Run a command of this environment to its end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(words, capture_output=True, text=True, env=variables, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise RuntimeError(msg)


@contextmanager
def made_folders(source: Path, cases: int | None) -> Iterator[Path]:
    """nnU-Net's folders with links to the data sets, merged and planned; `cases` of each, or all."""
    with nnunet_folders() as folder:
        for number in MODALITIES:
            (dataset,) = source.glob(f"Dataset{number}_*")
            _link(dataset, folder / "raw" / dataset.name, cases)
        members = [f"{number}:{modality}" for number, modality in MODALITIES.items()]
        if hermes(["merge", *members, "--into", str(COLLECTION_ID), "--name", "All"]) != 0:
            msg = "the merge failed"
            raise RuntimeError(msg)
        planning = ("-d", str(COLLECTION_ID), "-pl", "HermesPlannerS", "-c", CONFIGURATION, "--no_pp")
        command("nnUNetv2_plan_and_preprocess", *planning)
        yield folder


def write_model(folder: Path) -> Path:
    """A model of random weights by the plans, but smaller and at another spacing."""
    preprocessed = folder / "preprocessed" / NAME
    plans = json.loads((preprocessed / f"{PLANS}.json").read_text())
    configuration = plans["configurations"][CONFIGURATION]
    configuration |= {"spacing": [MODEL_SPACING_MM] * 3, "patch_size": [MODEL_PATCH] * 3}
    architecture = configuration["architecture"]["arch_kwargs"]
    architecture["features_per_stage"] = [width // MODEL_WIDTHS_DIVISOR for width in architecture["features_per_stage"]]
    dataset_json = json.loads((folder / "raw" / NAME / "dataset.json").read_text())
    manager = PlansManager(plans)
    outputs = manager.get_label_manager(dataset_json).num_segmentation_heads
    torch.manual_seed(0)
    network = build_network(manager, manager.get_configuration(CONFIGURATION), 1, outputs, True)
    model = folder / "results" / NAME / MODEL
    (model / "fold_0").mkdir(parents=True)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "HermesTrainer",
        "init_args": {"configuration": CONFIGURATION},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, model / "fold_0" / "checkpoint_final.pth")
    for name, content in (("plans.json", plans), ("dataset.json", dataset_json)):
        (model / name).write_text(json.dumps(content))
    return model


def same_preprocessed(folder: Path, other: Path) -> bool:
    """Whether two folders of nnU-Net hold the same cases, arrays and properties."""
    names = {path.name for path in folder.iterdir()}
    if names != {path.name for path in other.iterdir()}:
        return False
    return all(
        np.array_equal(blosc2.open(str(folder / name))[:], blosc2.open(str(other / name))[:])
        if name.endswith(".b2nd")
        else (folder / name).read_bytes() == (other / name).read_bytes()
        for name in names
    )


def same_segmentations(folder: Path, other: Path) -> bool:
    """Whether two folders of results hold the same cases and voxels."""
    names = {path.name for path in folder.glob("*.nii.gz")}
    if names != {path.name for path in other.glob("*.nii.gz")}:
        return False
    return all(
        np.array_equal(*(np.asarray(nibabel.load(place / name).dataobj) for place in (folder, other))) for name in names
    )


def killing(run: Callable[[], None], every_seconds: float) -> int:
    """Run something, and kill the oldest of the workers that it has started every few seconds; their number."""
    killed, ended = 0, threading.Event()

    def kill() -> None:
        nonlocal killed
        while not ended.wait(every_seconds):
            # Workers are what a process that we started has started, but for what keeps account of its resources.
            workers = [
                process
                for command_ in psutil.Process().children()
                for process in command_.children()
                if "spawn_main" in " ".join(process.cmdline())
            ]
            if workers:
                os.kill(min(workers, key=lambda process: process.create_time()).pid, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run()
    finally:
        ended.set()
        killer.join()
    return killed


def timed(run: Callable[[], None]) -> Took:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def preprocessing(folder: Path) -> Work:
    """Preprocessing of the collection; both sides write into one folder, from which the first takes its files away."""
    preprocessed = folder / "preprocessed" / NAME
    plans = json.loads((preprocessed / f"{PLANS}.json").read_text())
    images = preprocessed / plans["configurations"][CONFIGURATION]["data_identifier"]
    stock = folder / "stock"
    cases = len(json.loads((folder / "raw" / NAME / "dataset.json").read_text())["dataset"])
    few = ("--part", f"1/{cases // WORKERS}")
    common = ("-plans_name", PLANS, "-c", CONFIGURATION)
    processes = ("-np", str(WORKERS))

    def ours(*words: str) -> None:
        command("hermes_nnunet", "preprocess", str(COLLECTION_ID), *common, *words, OMP_NUM_THREADS="1")

    def in_processes() -> None:
        command("nnUNetv2_preprocess", "-d", str(COLLECTION_ID), *common, *processes, OMP_NUM_THREADS="1")
        shutil.rmtree(stock, ignore_errors=True)
        images.rename(stock)

    return Work(
        "preprocessing",
        cases,
        in_processes,
        lambda: ours(*ON_WORKERS),
        lambda: ours(*processes, *few),
        lambda: ours(*ON_WORKERS, *few),
        lambda: same_preprocessed(images, stock),
    )


def prediction(folder: Path, count: int) -> Work:
    """Prediction of the first images of two members."""
    model = write_model(folder)
    images, few = folder / "images", folder / "few"
    for place in (images, few):
        place.mkdir()
    for member in ("301", "303"):
        (dataset,) = (folder / "raw").glob(f"Dataset{member}_*")
        for number, file in enumerate(sorted((dataset / "imagesTr").iterdir())[: count // 2]):
            for place in (images, few)[: 1 + (number < WORKERS // 2)]:
                (place / file.name).symlink_to(file.resolve())
    here, there, rest = (folder / name for name in ("here", "there", "rest"))

    def predict(source: Path, output: Path, *words: str) -> None:
        places = ("-i", str(source), "-o", str(output), "-m", str(model))
        options = ("--all", "--modality", "CT", "--device", "cpu", "--overwrite")
        command("hermes_nnunet", "predict", *places, *options, *words)

    return Work(
        "prediction",
        len(list(images.iterdir())),
        lambda: predict(images, here),
        lambda: predict(images, there, *ON_WORKERS),
        lambda: predict(few, rest),
        lambda: predict(few, rest, *ON_WORKERS),
        lambda: same_segmentations(there, here),
    )


def measure(works: Sequence[Work], repeats: int, kill_seconds: float) -> list[Row]:
    """Two rows for each work, the start and the whole; workers are killed when all has been timed."""
    rows: list[dict[str, str | int | float]] = []
    for work in works:
        starts, turns = [], []
        for _ in range(repeats):
            starts.append((timed(work.few_here), timed(work.few_on_workers)))
            turns.append((timed(work.here), timed(work.on_workers)))
        rows += [_row(f"{work.name}: start", WORKERS, starts), _row(work.name, work.cases, turns)]
        rows[-1]["equal"] = str(work.same())
        print(*rows[-2:], sep="\n", flush=True)
    for work, start, row in zip(works, rows[::2], rows[1::2], strict=True):
        every_seconds = max(kill_seconds, STARTS_BETWEEN_KILLS * float(start[f"elapsed s, local:{WORKERS}"]))
        row["killed every s"] = f"{every_seconds:.0f}"
        row["workers killed"] = str(killing(work.on_workers, every_seconds))
        row["equal after kills"] = str(work.same())
    return rows


def _row(what: str, cases: int, turns: Sequence[tuple[Took, Took]]) -> dict[str, str | int | float]:
    row: dict[str, str | int | float] = {"work": what, "cases": cases}
    for name in Took._fields:
        sides = [(getattr(here, name), getattr(there, name)) for here, there in turns]
        here, there = (statistics.median(side) for side in zip(*sides, strict=True))
        ratio = statistics.median(after / before for before, after in sides)
        row |= {f"{name} s": here, f"{name} s, local:{WORKERS}": there, f"{name} ratio": ratio}
    return row | dict.fromkeys(("equal", "killed every s", "workers killed", "equal after kills"), "")


def _link(dataset: Path, target: Path, cases: int | None) -> None:
    """A data set of links, with the first cases only."""
    for part in ("imagesTr", "labelsTr"):
        (target / part).mkdir(parents=True)
        for file in sorted((dataset / part).iterdir())[:cases]:
            (target / part / file.name).symlink_to(file.resolve())
    for file in dataset.glob("*.json"):
        if cases is None or file.name == "dataset.json":
            shutil.copyfile(file, target / file.name)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/cluster.json."""
    options = parser(__doc__, repeats=1)
    options.add_argument("source", type=Path, help="folder of data sets 301 to 304 in nnU-Net's raw format")
    options.add_argument("--cases", type=int, help="of each data set (default: all)")
    options.add_argument("--images", type=int, default=IMAGES, help="to predict (default: %(default)s)")
    options.add_argument("--kill-seconds", type=float, default=KILL_SECONDS, help="default: %(default)s")
    arguments = options.parse_args(argv)
    with made_folders(arguments.source, arguments.cases) as folder:
        works = (preprocessing(folder), prediction(folder, arguments.images))
        rows = measure(works, arguments.repeats, arguments.kill_seconds)
    settings = {
        "workers": WORKERS,
        "model": f"{MODEL_SPACING_MM:g} mm, patch {MODEL_PATCH}^3, widths divided by {MODEL_WIDTHS_DIVISOR}",
        "load of the machine": [round(load, 1) for load in os.getloadavg()],
    }
    report("cluster", __doc__, settings, rows, arguments)


if __name__ == "__main__":
    main()
