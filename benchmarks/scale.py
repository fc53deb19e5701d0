"""How do time and memory of all that is done before and after a training grow with the number of cases?

Made data sets of four members with small images, all different. One case is preprocessed; the others are links to its
files. Each step runs in a process of its own. Elapsed time depends on what else the machine does; that of the
processors is of the process and its workers together.

    python benchmarks/scale.py
    python benchmarks/scale.py --cases 100000 --results /tmp/scale
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from made_collection import nnunet_folders
from measuring import MEGABYTE, Row, parser, report
from nibabel import Nifti1Image

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

CASES = (1_000, 10_000)
MEMBERS = 4
SHAPE = (4, 4, 4)
COLLECTION_ID = 900
NAME = f"Dataset{COLLECTION_ID}_All"
PLANS = "HermesSPlans"
CONFIGURATION = "3d_fullres"
DATA_WORKERS = 2
BATCHES = 4
MOST_PARTS = 99_999
OF_TRAINING = ("bytes a case of the list", "checkpoint MB")
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); import scale; scale.run(sys.argv[2])"
# How often processes are asked how much memory they have.
_LOOK_S = 0.5


def make_members(raw: Path, cases: int) -> None:
    """Data sets 901 to 904, which have the cases between them."""
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label_file = bytes(Nifti1Image(label, np.eye(4)).to_bytes())
    start = bytes(Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)).to_bytes())[: -2 * label.size]
    for member in range(MEMBERS):
        folder = raw / f"Dataset{901 + member}_Made{member}"
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii"}
        (folder / "dataset.json").write_text(json.dumps(content))
        for case in range(member, cases, MEMBERS):
            voxels = np.full(label.size, case // 30_000, np.int16)
            voxels[0] = case % 30_000
            (folder / "imagesTr" / f"c{case:06d}_0000.nii").write_bytes(start + voxels.tobytes())
            (folder / "labelsTr" / f"c{case:06d}.nii").write_bytes(label_file)


def merge() -> dict[str, float]:
    """Make the collection, or see that it is as it was."""
    members = (f"{901 + member}:CT" for member in range(MEMBERS))
    _command("merge", *members, "--into", str(COLLECTION_ID), "--name", "All")
    return {}


def plan() -> dict[str, float]:
    """Plan, with a fingerprint as nnU-Net's own command makes it."""
    from nnunetv2.experiment_planning.experiment_planners.hermes.hermes_planner import HermesPlannerS

    HermesPlannerS(COLLECTION_ID).plan_experiment()
    return {}


def preprocess() -> dict[str, float]:
    """Look at all cases, and preprocess a few."""
    few = f"1/{min(_cases(), MOST_PARTS)}"
    _command("preprocess", NAME, "-plans_name", PLANS, "-c", CONFIGURATION, "-np", "1", "--part", few)
    return {}


def inspect() -> dict[str, float]:
    """Say what the collection is made of."""
    _command("inspect", str(COLLECTION_ID), "--json")
    return {}


def start() -> dict[str, float]:
    """All that a training does until its first batches are there, with processes that make them; save a checkpoint."""
    from hermes_nnunet.learning.training.watched_batches import unwatched

    os.environ["nnUNet_n_proc_DA"] = str(DATA_WORKERS)
    trainer = _trainer()
    trainer.on_train_start()
    for _ in range(BATCHES):
        next(trainer.dataloader_train)
    loaders = [unwatched(loader) for loader in (trainer.dataloader_train, trainer.dataloader_val)]
    identifiers = loaders[0].generator.indices
    trainer.logger.get_checkpoint()
    folder = Path(trainer.output_folder)
    (folder / "checkpoint_final.pth").unlink(missing_ok=True)
    trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
    checkpoint = (folder / "checkpoint_final.pth").stat().st_size
    for loader in loaders:
        loader._finish()
    return dict(zip(OF_TRAINING, (identifiers.nbytes / _cases(), checkpoint / MEGABYTE), strict=True))


def views() -> dict[str, float]:
    """Make a model folder for every member."""
    _command("views", str(COLLECTION_ID), CONFIGURATION, "-p", PLANS, "-f", "0")
    return {}


STEPS: dict[str, Callable[[], dict[str, float]]] = {
    "merge": merge,
    "merge, up to date": merge,
    "plan": plan,
    "preprocess, a part": preprocess,
    "start of a training": start,
    "views": views,
    "inspect": inspect,
}


def run(step: str) -> None:
    """In a process of its own: take a step and print what it took."""
    begin = time.perf_counter()
    told = STEPS[step]()
    seconds = time.perf_counter() - begin
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    print(json.dumps({"seconds": seconds, "busy": busy, "peak": _peak_bytes(), **told}))


def measure(cases: int) -> list[Row]:
    """A row for each step."""
    rows: list[Row] = []
    with nnunet_folders() as folder:
        make_members(folder / "raw", cases)
        for step in STEPS:
            if step == "plan":
                _write_fingerprint(folder)
            elif step == "start of a training":
                _link_preprocessed(folder)
            told, worker = _told_by_child(step)
            rows.append(
                {
                    "step": step,
                    "cases": cases,
                    "seconds": told["seconds"],
                    "processor s": told["busy"],
                    "processor ms a case": 1000 * told["busy"] / cases,
                    "peak MB": told["peak"] / MEGABYTE,
                    "own MB of a worker": worker / MEGABYTE,
                    **{name: f"{told[name]:.1f}" if name in told else "" for name in OF_TRAINING},
                }
            )
            print(rows[-1], flush=True)
    return rows


def _told_by_child(step: str) -> tuple[dict[str, float], int]:
    """What `run` prints in a process of its own, and the bytes of the largest of the processes that it starts.

    Those are what such a process has for itself, and does not share with the one that it was forked from.
    """
    with tempfile.TemporaryFile("w+") as output:
        words = [sys.executable, "-c", _CHILD, str(Path(__file__).parent), step]
        child = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        process, worker = psutil.Process(child.pid), 0
        while child.poll() is None:
            with suppress(psutil.Error):  # processes end
                for other in process.children(recursive=True):
                    worker = max(worker, other.memory_full_info().uss)
            time.sleep(_LOOK_S)
        output.seek(0)
        lines = output.read().splitlines()
    if child.returncode != 0:
        raise RuntimeError("\n".join([f"{step} failed:", *lines[-40:]]))
    return json.loads(lines[-1]), worker


def _peak_bytes() -> int:
    """The most memory that this process has had; what getrusage says is of the one that started it, too."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def _command(*words: str) -> None:
    from hermes_nnunet.cli.main import main as hermes

    if hermes(words) != 0:
        msg = f"hermes_nnunet {' '.join(words)} failed"
        raise RuntimeError(msg)


def _cases() -> int:
    content = json.loads((Path(os.environ["nnUNet_raw"]) / NAME / "dataset.json").read_text())
    return len(content["dataset"])


def _trainer() -> "HermesTrainer":
    import torch
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

    preprocessed = Path(os.environ["nnUNet_preprocessed"]) / NAME
    plans, dataset_json = (json.loads((preprocessed / name).read_text()) for name in (f"{PLANS}.json", "dataset.json"))
    plans["continue_training"] = False  # as nnU-Net's command says it
    trainer = HermesTrainer(plans, CONFIGURATION, 0, dataset_json, torch.device("cpu"))
    trainer.initialize()
    return trainer


def _write_fingerprint(folder: Path) -> None:
    """As nnU-Net writes it, but of larger images, for which there is a network."""
    (folder / "preprocessed" / NAME).mkdir()
    cases = len(json.loads((folder / "raw" / NAME / "dataset.json").read_text())["dataset"])
    content = {
        "spacings": [[1.0, 1.0, 1.0]] * cases,
        "shapes_after_crop": [[64, 64, 64]] * cases,
        "foreground_intensity_properties_per_channel": {"0": {}},
        "median_relative_size_after_cropping": 1.0,
    }
    (folder / "preprocessed" / NAME / "dataset_fingerprint.json").write_text(json.dumps(content))


def _link_preprocessed(folder: Path) -> None:
    """Make all cases links to the files of one that is preprocessed."""
    names = json.loads((folder / "raw" / NAME / "dataset.json").read_text())["dataset"]
    (images,) = (path for path in (folder / "preprocessed" / NAME).glob(f"{PLANS}_*") if path.is_dir())
    first = next(images.glob("*.pkl")).stem
    for name in names:
        for ending in (".b2nd", "_seg.b2nd", ".pkl"):
            target = images / f"{name}{ending}"
            if not target.exists():
                # A file may have 65,000 names on some disks, but any number of links to it.
                target.symlink_to(images / f"{first}{ending}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/scale.json."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--cases", type=int, nargs="+", default=CASES, help="of the collection (default: %(default)s)")
    arguments = options.parse_args(argv)
    rows = [row for cases in arguments.cases for row in measure(cases)]
    report("scale", __doc__, {"members": MEMBERS, "shape": list(SHAPE)}, rows, arguments)


if __name__ == "__main__":
    main()
