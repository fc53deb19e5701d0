"""The commands that are interrupted: what they find, how they are called, and what must be whole."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_models import MEMBERS_FILE, write_released
from world import COLLECTION, CONFIGURATION, MODEL, PLANS, TRAINER, World, noise, write_image

Action = Callable[[World], int | None]


def essence(path: Path) -> Any:
    """What a file says: of arrays their numbers, for their containers hold times and whatever memory held."""
    digest = hashlib.sha256()
    if path.suffix == ".b2nd":
        import blosc2

        digest.update(blosc2.open(str(path), mode="r")[:].tobytes())
    elif path.suffix == ".npz":
        import numpy as np

        for name, array in np.load(path).items():
            digest.update(name.encode() + array.tobytes())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _essence_of_prediction(path: Path) -> Any:
    """Of run.json the cases that are done, whichever run has done them."""
    if path.name != "run.json":
        return essence(path)
    runs = json.loads(path.read_text())["runs"]
    return json.dumps(sorted(case for run in runs for case in run["cases"]))


@dataclass(frozen=True)
class Subject:
    """A command that may be interrupted.

    Attributes:
        name: what it does.
        prepare: writes what it finds.
        run: the command; returns its exit code.
        again: what a user runs after an interruption, where that is another call.
        units: folders, below the root, that are as before or as after, never of both.
        growing: ends of the names of files that are written bit by bit: logs, and lists of what is finished.
        is_closed: whether whoever reads a unit refuses it, or finds nothing to read, so that it may be of both.
        essence: what must be equal in a file of the interrupted and of the uninterrupted command; None: nothing.
            Growing files must be such that it can be read.
    """

    name: str
    prepare: Action
    run: Action
    again: Action | None = None
    units: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    is_closed: Callable[[World, str], bool] = lambda world, unit: False
    essence: Callable[[Path], Any] = essence


def hermes(*words: object) -> int:
    """`hermes_nnunet WORDS`."""
    from hermes_nnunet.cli.main import main

    return main([str(word) for word in words])


def _members(world: World) -> None:
    world.clear()
    world.add_member("Dataset001_Alpha", {"liver": 1, "spleen": 2})
    world.add_member("Dataset002_Beta", {"kidney": 1, "aorta": 2}, "de")


def _merge(world: World, *options: str) -> int:
    return hermes("merge", "1:CT", "2:T1", "--into", 900, "--name", "Both", "--processes", 1, *options)


def _members_changed(world: World) -> None:
    """Merged, and then a label more, so that the other member's values move; one case is gone, one is new."""
    _members(world)
    _merge(world)
    folder = world.add_member("Dataset001_Alpha", {"liver": 1, "spleen": 2, "tumour": 3, "cyst": 4}, "ac")
    for name in ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"):
        (folder / name).unlink()
    world.add_member("Dataset002_Beta", {"kidney": 1, "aorta": 2}, "def")


def _merge_is_refused(world: World, unit: str) -> bool:
    from hermes_nnunet.data.merge.record import check_whole
    from hermes_nnunet.errors import HermesError

    try:
        check_whole(world.root / unit)
    except HermesError as error:
        return "run the merge again" in str(error)
    return False


def _lits(world: World) -> None:
    world.clear()
    for number in (6, 0, 33):
        for name, voxels in (("volume", noise(str(number), (6, 5, 4))), ("segmentation", noise("", (6, 5, 4)) % 3)):
            write_image(world.root / "source" / f"{name}-{number}.nii", voxels)


def _convert(world: World) -> int:
    return hermes("convert", "lits", world.root / "source", "-d", 11, "--processes", 1)


def _model(world: World) -> None:
    world.clear()
    world.add_model()


def _views(world: World, *options: str, dataset: int = 900) -> int:
    return hermes("views", dataset, CONFIGURATION, "-tr", TRAINER, *options)


def _views_of_another_training(world: World) -> None:
    _model(world)
    _views(world)
    world.add_model(seed=1)
    for name in ("plans", "dataset"):
        path = world.model / f"{name}.json"
        content = json.loads(path.read_text())
        content["hermes"]["members"]["brain"]["labels"] = {"background": 0, "whole": [2, 3], "core": 3}
        path.write_text(json.dumps(content))


def _views_of_another_model(world: World) -> None:
    _model(world)
    _views(world)
    world.add_model("Dataset901_Other", seed=1)


_VIEWS = tuple(f"results/{name}/{MODEL.partition('/')[2]}" for name in ("Dataset011_abdomen", "Dataset012_brain"))


def _has_no_plans(world: World, unit: str) -> bool:
    return not (world.root / unit / "plans.json").exists()


def _released(world: World, topology: str = "r") -> None:
    world.clear()
    write_released(topology, world.root / "released.pth", task_rows=6, num_modalities=3)
    (world.root / "members.yaml").write_text(MEMBERS_FILE)


def _import(world: World, *options: str) -> int:
    return hermes(
        "import-weights", world.root / "released.pth", "--into", 910, "--name", "Ours",
        "--members", world.root / "members.yaml", *options,
    )  # fmt: skip


IMPORTED = "Dataset910_Ours/HermesTrainerPaper__HermesPaperRPlans__3d_fullres"
_IMPORTED = tuple(
    f"results/{name}/HermesTrainerPaper__HermesPaperRPlans__3d_fullres"
    for name in ("Dataset910_Ours", "Dataset911_abdomen", "Dataset912_AbdomenMR", "Dataset913_heart")
)


def _imported(world: World) -> None:
    _released(world)
    _import(world)


def _images(world: World) -> None:
    _model(world)
    world.add_images()


def _predict(world: World, *options: str) -> int:
    return hermes(
        "predict", "-i", world.root / "in", "-o", world.root / "out", "-m", world.model, "--device", "cpu",
        "--tasks", "liver,core", "--modality", "CT", *options,
    )  # fmt: skip


def _predicting(name: str, *options: str) -> Subject:
    return Subject(
        name,
        _images,
        lambda world: _predict(world, *options),
        lambda world: _predict(world, *options, "--continue"),
        growing=("labels.json", "statistics.json", "statistics.csv", "run.json"),
        essence=_essence_of_prediction,
    )


def _exported(world: World) -> None:
    import shutil

    _model(world)
    shutil.make_archive(str(world.root / "model"), "zip", world.results, COLLECTION)
    shutil.rmtree(world.results / COLLECTION)


def _planned(world: World) -> None:
    world.clear()
    world.add_collection()


def _preprocess(world: World) -> None:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset

    preprocess_dataset(900, PLANS, (CONFIGURATION,), (1,))


def _ready_to_train(world: World) -> None:
    _planned(world)
    _preprocess(world)


def _train(world: World, go_on: bool = False) -> None:
    import numpy as np
    import torch
    from nnunetv2.run.run_training import run_training

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    run_training("900", CONFIGURATION, 0, TRAINER, PLANS, continue_training=go_on, device=torch.device("cpu"))


def _train_on(world: World) -> None:
    """As the training's own words say: --c where there is a checkpoint, else anew."""
    if any((world.model / "fold_0").glob("checkpoint_*.pth")):
        _train(world, go_on=True)
    else:
        os.environ["HERMES_OVERWRITE"] = "1"
        _train(world)


def _essence_of_training(path: Path) -> Any:
    """Weights and segmentations; logs, pictures and times differ from run to run."""
    if path.suffix == ".pth":
        import torch

        weights = torch.load(path, weights_only=False, map_location="cpu")["network_weights"]
        digest = hashlib.sha256()
        for name, tensor in weights.items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()
    return essence(path) if path.name.endswith((".nii.gz", ".b2nd", ".pkl")) else None


SUBJECTS = (
    Subject("merge, new", _members, _merge, units=(f"raw/{COLLECTION}",)),
    Subject(
        "merge, changed",
        _members_changed,
        _merge,
        units=(f"raw/{COLLECTION}",),
        is_closed=_merge_is_refused,
        growing=("hermes_merge.json",),
    ),
    Subject("convert", _lits, _convert, growing=("conversion.json",)),
    Subject("views, new", _model, _views, units=_VIEWS),
    Subject("views, of another training", _views_of_another_training, _views, units=_VIEWS, is_closed=_has_no_plans),
    Subject(
        "views, of another model",
        _views_of_another_model,
        lambda world: _views(world, "--replace-views", dataset=901),
        units=_VIEWS,
    ),
    Subject("import-weights, new", _released, _import, units=_IMPORTED),
    Subject(
        "import-weights, changed",
        _imported,
        lambda world: _import(world, "--ema"),
        units=_IMPORTED,
        is_closed=_has_no_plans,
    ),
    Subject(
        "install",
        _exported,
        lambda world: hermes("install", world.root / "model.zip", "--overwrite"),
        units=(f"results/{MODEL}",),
    ),
    _predicting("predict", "--statistics"),
    _predicting("predict, a mask a task", "--per-task", "--preview"),
    _predicting("predict, probabilities", "--probabilities"),
    Subject("preprocess", _planned, _preprocess, growing=(".b2nd", ".pkl", ".npz")),
    Subject(
        "train",
        _ready_to_train,
        _train,
        _train_on,
        growing=("checkpoint_latest.pth", "checkpoint_best.pth"),
        essence=_essence_of_training,
    ),
)
