"""The preprocessing and training of a collection, and of one that was made for an addition."""

import hashlib
import json
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from addition_subjects import EXTENSION, extend, new_member
from subject import Subject, essence, hermes
from world import ADDITION_TRAINER, COLLECTION, CONFIGURATION, MODEL, PLANS, TRAINER, World, write_image


def planned(world: World) -> None:
    world.clear()
    world.add_collection()


def _preprocess(world: World) -> None:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset

    preprocess_dataset(900, PLANS, (CONFIGURATION,), (1,))


def _ready_to_train(world: World) -> None:
    planned(world)
    _preprocess(world)


def preprocess_ours(world: World, *options: str) -> int:
    return hermes("preprocess", 900, "-c", CONFIGURATION, "--processes", 1, *options)


def _preprocessed_and_changed(world: World) -> None:
    """Every image and every label file is another one since."""
    planned(world)
    preprocess_ours(world)
    for path in sorted((world.raw / COLLECTION).glob("*/*.nii.gz")):
        write_image(path, np.flip(np.asarray(nibabel.load(path).dataobj), 0).copy())


def _essence_beside_the_record(path: Path) -> Any:
    """The record that all is finished goes first, and comes last."""
    return None if path.name.endswith("_preprocessed.json") else _essence_of_preprocessing(path)


def _essence_of_preprocessing(path: Path) -> Any:
    """Of a record of a case what it was made from; beside that it holds times."""
    if path.suffix == ".json" and ".hermes_preprocessed" in path.parts:
        return json.dumps(json.loads(path.read_text())["made_from"])
    return essence(path)


def _extended(world: World) -> int:
    """A collection for an addition, ready to train."""
    new_member(world)
    extend(world)
    return hermes("preprocess", EXTENSION, "-c", CONFIGURATION, "--processes", 1)


def _train(world: World, go_on: bool = False, dataset: str = "900", trainer: str = TRAINER) -> None:
    import torch
    from nnunetv2.run.run_training import run_training

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    run_training(dataset, CONFIGURATION, 0, trainer, PLANS, continue_training=go_on, device=torch.device("cpu"))


def _train_on(world: World, dataset: str = "900", trainer: str = TRAINER, model: str = MODEL) -> None:
    """As the training's own words say: --c where there is a checkpoint, else anew."""
    go_on = any((world.results / model / "fold_0").glob("checkpoint_*.pth"))
    if not go_on:
        os.environ["HERMES_OVERWRITE"] = "1"
    _train(world, go_on, dataset, trainer)


def _essence_of_training(path: Path) -> Any:
    """Weights and segmentations; logs, pictures and times differ from run to run."""
    if path.suffix == ".pth":
        import torch

        weights = torch.load(path, weights_only=False, map_location="cpu")["network_weights"]
        digest = hashlib.sha256()
        for name, tensor in weights.items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()
    if path.suffix == ".hermes":
        from hermes_nnunet.weights.additions.file import Addition

        Addition.load(path)
        return essence(path)
    return essence(path) if path.name.endswith((".nii.gz", ".b2nd", ".pkl")) else None


_CHECKPOINTS = ("checkpoint_latest.pth", "checkpoint_best.pth")
_OF_ADDITION = {"dataset": "901", "trainer": ADDITION_TRAINER}
_ADDED = f"{EXTENSION}/{ADDITION_TRAINER}__{PLANS}__{CONFIGURATION}"
TRAININGS = (
    Subject("preprocess", planned, _preprocess, growing=(".b2nd", ".pkl", ".npz"), essence=_essence_of_preprocessing),
    Subject(
        "preprocess, with hermes_nnunet",
        planned,
        preprocess_ours,
        lambda world: preprocess_ours(world, "--continue"),
        essence=_essence_of_preprocessing,
    ),
    Subject(
        "preprocess, with hermes_nnunet, changed",
        _preprocessed_and_changed,
        lambda world: preprocess_ours(world, "--continue"),
        essence=_essence_beside_the_record,
    ),
    Subject("train", _ready_to_train, _train, _train_on, growing=_CHECKPOINTS, essence=_essence_of_training),
    Subject(
        "train, an addition",
        _extended,
        partial(_train, **_OF_ADDITION),
        partial(_train_on, **_OF_ADDITION, model=_ADDED),
        # An addition's file is written again when its Dice is known.
        growing=(*_CHECKPOINTS, ".hermes"),
        essence=_essence_of_training,
    ),
)
