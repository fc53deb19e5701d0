"""What do workers of dask cost against processes of our own, and what is lost when they are killed again and again?

Preprocesses the labelled cases of data sets 301 to 304 with two processes of nnUNetv2_preprocess and with
`hermes_nnunet preprocess --cluster local:2`; predicts images with `hermes_nnunet predict` in one process and on such
workers, with a model of random weights. Then both once more on workers of which one is killed (SIGKILL) every few
seconds: all cases must be done, every voxel the same.

The sides take turns, and a ratio is of one turn: other programs of the machine are in both.

    python benchmarks/cluster.py ../shared/data/raw
"""

import json
import os
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


def command(*words: str) -> None:
    """Run a command of this environment to its end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise RuntimeError(msg)


@contextmanager
def made_folders(source: Path, cases: int | None) -> Iterator[Path]:
    """nnU-Net's folders with links to the data sets, merged and planned; `cases` of each, or all."""
    with nnunet_folders() as folder:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
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
    """A model of random weights that fits the plans."""
    preprocessed = folder / "preprocessed" / NAME
    plans = json.loads((preprocessed / f"{PLANS}.json").read_text())
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
    """Run something, and kill one of the workers that it has started every few seconds; their number."""
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
                os.kill(max(workers, key=lambda process: process.create_time()).pid, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run()
    finally:
        ended.set()
        killer.join()
    return killed


def timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/cluster.json."""
    options = parser(__doc__, repeats=1)
    options.add_argument("source", type=Path, help="folder of data sets 301 to 304 in nnU-Net's raw format")
    options.add_argument("--cases", type=int, help="of each data set (default: all)")
    options.add_argument("--images", type=int, default=IMAGES, help="to predict (default: %(default)s)")
    options.add_argument("--kill-seconds", type=float, default=KILL_SECONDS, help="default: %(default)s")
    arguments = options.parse_args(argv)
    rows: list[Row] = []
    with made_folders(arguments.source, arguments.cases) as folder:
        rows += _preprocessing(folder, arguments.repeats, arguments.kill_seconds)
        rows += _prediction(folder, arguments.images, arguments.repeats, arguments.kill_seconds)
    settings = {
        "workers": WORKERS,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "load of the machine": [round(load, 1) for load in os.getloadavg()],
    }
    report("cluster", __doc__, settings, rows, arguments)


def _preprocessing(folder: Path, repeats: int, kill_seconds: float) -> list[Row]:
    preprocessed = folder / "preprocessed" / NAME
    plans = json.loads((preprocessed / f"{PLANS}.json").read_text())
    images = preprocessed / plans["configurations"][CONFIGURATION]["data_identifier"]
    stock = folder / "stock"
    common = ("-plans_name", PLANS, "-c", CONFIGURATION)

    def of_nnunet() -> None:
        command("nnUNetv2_preprocess", "-d", str(COLLECTION_ID), *common, "-np", str(WORKERS))

    def on_workers() -> None:
        command("hermes_nnunet", "preprocess", str(COLLECTION_ID), *common, "--cluster", f"local:{WORKERS}")

    turns = []
    for _ in range(repeats):
        plain = timed(of_nnunet)
        shutil.rmtree(stock, ignore_errors=True)
        shutil.copytree(images, stock)
        turns.append((plain, timed(on_workers)))
    equal = same_preprocessed(images, stock)
    shutil.rmtree(images)
    killed = killing(on_workers, kill_seconds)
    return [
        _row("preprocessing", len(list(stock.glob("*.pkl"))), turns, equal, killed, same_preprocessed(images, stock))
    ]


def _prediction(folder: Path, count: int, repeats: int, kill_seconds: float) -> list[Row]:
    model = write_model(folder)
    images = folder / "images"
    images.mkdir()
    for member in ("301", "303"):
        (dataset,) = (folder / "raw").glob(f"Dataset{member}_*")
        for file in sorted((dataset / "imagesTr").iterdir())[: count // 2]:
            (images / file.name).symlink_to(file.resolve())
    common = ("-i", str(images), "-m", str(model), "--all", "--modality", "CT", "--device", "cpu")
    here, there, hurt = (folder / name for name in ("here", "there", "hurt"))

    def in_one_process() -> None:
        command("hermes_nnunet", "predict", *common, "-o", str(here), "--overwrite")

    def on_workers(output: Path = there) -> None:
        words = ("-o", str(output), "--overwrite", "--cluster", f"local:{WORKERS}")
        command("hermes_nnunet", "predict", *common, *words)

    turns = [(timed(in_one_process), timed(on_workers)) for _ in range(repeats)]
    killed = killing(lambda: on_workers(hurt), kill_seconds)
    cases = len(list(here.glob("*.nii.gz")))
    return [_row("prediction", cases, turns, same_segmentations(there, here), killed, same_segmentations(hurt, here))]


def _row(
    what: str, cases: int, turns: Sequence[tuple[float, float]], equal: bool, killed: int, equal_after_kills: bool
) -> Row:
    plain, cluster = (statistics.median(side) for side in zip(*turns, strict=True))
    return {
        "work": what,
        "cases": cases,
        "own processes s": plain,
        f"local:{WORKERS} s": cluster,
        "ratio": statistics.median(after / before for before, after in turns),
        "equal": str(equal),
        "workers killed": killed,
        "equal after kills": str(equal_after_kills),
    }


def _link(dataset: Path, target: Path, cases: int | None) -> None:
    """A data set of links, with the first cases only."""
    for part in ("imagesTr", "labelsTr"):
        (target / part).mkdir(parents=True)
        for file in sorted((dataset / part).iterdir())[:cases]:
            (target / part / file.name).symlink_to(file.resolve())
    for file in dataset.glob("*.json"):
        if cases is None or file.name == "dataset.json":
            shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    main()
