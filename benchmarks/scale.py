"""How do time and memory of all that is done before and after a training grow with the number of cases?

Made data sets of four members with small images, all different. One case is preprocessed; the others are links to its
files. Each step runs in a process of its own; its memory is the most that this process had, and that of the largest of
its workers.

    python benchmarks/scale.py
    python benchmarks/scale.py --cases 100000 --results /tmp/scale
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from growth import COLLECTION_ID, MEMBERS, MERGE, SHAPE, make_members
from made_collection import nnunet_folders
from measuring import MEGABYTE, Row, parser, report

CASES = (1_000, 10_000)
PLANS = "HermesSPlans"
CONFIGURATION = "3d_fullres"
NAME = f"Dataset{COLLECTION_ID}_All"
OF_TRAINING = ("bytes a case of the list", "checkpoint MB")
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from scale import run; run(sys.argv[2])"
_KILOBYTE = 1024 / MEGABYTE  # ru_maxrss is in kilobytes


def merge() -> dict[str, float]:
    """Make the collection, or see that it is as it was."""
    _command(*MERGE)
    return {}


def plan() -> dict[str, float]:
    """Plan, with a fingerprint as nnU-Net's own command makes it."""
    from nnunetv2.experiment_planning.experiment_planners.hermes.hermes_planner import HermesPlannerS

    HermesPlannerS(COLLECTION_ID).plan_experiment()
    return {}


def inspect() -> dict[str, float]:
    """Say what the collection is made of."""
    _command("inspect", str(COLLECTION_ID), "--json")
    return {}


def start() -> dict[str, float]:
    """All that a training does until its first batch is there; then save a checkpoint."""
    from hermes_nnunet.learning.training.watched_batches import unwatched

    trainer = _trainer()
    trainer.on_train_start()
    next(trainer.dataloader_train)
    identifiers = unwatched(trainer.dataloader_train).data_loader.indices
    trainer.logger.get_checkpoint()
    folder = Path(trainer.output_folder)
    (folder / "checkpoint_final.pth").unlink(missing_ok=True)
    trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
    checkpoint = (folder / "checkpoint_final.pth").stat().st_size
    return dict(zip(OF_TRAINING, (identifiers.nbytes / _cases(), checkpoint / MEGABYTE), strict=True))


def views() -> dict[str, float]:
    """Make a model folder for every member."""
    _command("views", str(COLLECTION_ID), CONFIGURATION, "-p", PLANS, "-f", "0")
    return {}


STEPS: dict[str, Callable[[], dict[str, float]]] = {
    "merge": merge,
    "merge, up to date": merge,
    "plan": plan,
    "start of a training": start,
    "views": views,
    "inspect": inspect,
}


def run(step: str) -> None:
    """In a process of its own: take a step and print what it took."""
    begin = time.perf_counter()
    told = STEPS[step]()
    seconds = time.perf_counter() - begin
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "own": own, "workers": workers, **told}))


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
            child = [sys.executable, "-c", _CHILD, str(Path(__file__).parent), step]
            done = subprocess.run(child, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                msg = f"{step} of {cases} cases failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
                raise RuntimeError(msg)
            told = json.loads(done.stdout.splitlines()[-1])
            rows.append(
                {
                    "step": step,
                    "cases": cases,
                    "seconds": told["seconds"],
                    "ms a case": 1000 * told["seconds"] / cases,
                    "peak MB": told["own"] * _KILOBYTE,
                    "peak MB of a worker": told["workers"] * _KILOBYTE,
                    **{name: f"{told[name]:.1f}" if name in told else "" for name in OF_TRAINING},
                }
            )
            print(rows[-1], flush=True)
    return rows


def _command(*words: str) -> None:
    from hermes_nnunet.cli.main import main as hermes

    if hermes(words) != 0:
        msg = f"hermes_nnunet {' '.join(words)} failed"
        raise RuntimeError(msg)


def _cases() -> int:
    content = json.loads((Path(os.environ["nnUNet_raw"]) / NAME / "dataset.json").read_text())
    return len(content["dataset"])


def _trainer():
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
    """Preprocess one case, and link all others to its files."""
    from hermes_nnunet.cli.main import main as hermes

    names = sorted(json.loads((folder / "raw" / NAME / "dataset.json").read_text())["dataset"])
    words = [NAME, "-plans_name", PLANS, "-c", CONFIGURATION, "-np", "1", "--part", f"1/{min(len(names), 99_999)}"]
    if hermes(["preprocess", *words]) != 0:
        msg = "preprocessing failed"
        raise RuntimeError(msg)
    plans = json.loads((folder / "preprocessed" / NAME / f"{PLANS}.json").read_text())
    images = folder / "preprocessed" / NAME / plans["configurations"][CONFIGURATION]["data_identifier"]
    for name in names[1:]:
        for ending in (".b2nd", "_seg.b2nd", ".pkl"):
            target = images / f"{name}{ending}"
            if not target.exists():
                os.link(images / f"{names[0]}{ending}", target)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/scale.json."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--cases", type=int, nargs="+", default=CASES, help="of the collection (default: %(default)s)")
    arguments = options.parse_args(argv)
    rows = [row for cases in arguments.cases for row in measure(cases)]
    report("scale", __doc__, {"members": MEMBERS, "shape": list(SHAPE)}, rows, arguments)


if __name__ == "__main__":
    main()
