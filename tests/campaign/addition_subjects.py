"""Additions to a trained model: made, taught, put in and taken out."""

from unittest import mock

import numpy as np
from subject import Subject, hermes
from world import COLLECTION, CONFIGURATION, MODEL, TRAINER, World, noise, write_image

EXTENSION = "Dataset901_Extension901"
_NAME = MODEL.partition("/")[2]
GROWN = "Dataset902_Both"
VIEW = "Dataset350_cube"
_VIEWS = tuple(f"results/{name}/{_NAME}" for name in (VIEW, "Dataset011_abdomen", "Dataset012_brain"))


def new_member(world: World) -> None:
    """A model, and a data set of a structure and a modality that it does not know."""
    world.clear()
    world.add_model()
    world.add_member("Dataset305_More", {"gallbladder": 1}, "abcd")


def extend(world: World) -> int:
    """Of voxels for the fingerprint nnU-Net takes a hundred million, however few there are."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    from hermes_nnunet.weights.additions import extending

    class OfFewVoxels(DatasetFingerprintExtractor):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self.num_foreground_voxels_for_intensitystats = 1000

    with mock.patch.object(extending, "DatasetFingerprintExtractor", OfFewVoxels):
        return hermes("extend", world.model, "305:T2", "--into", 901, "--processes", 1)


def examples(world: World) -> None:
    """A model, and images of bright cubes."""
    world.clear()
    world.add_model()
    mask = np.zeros((14, 15, 12), np.uint8)
    mask[4:10, 4:10, 4:10] = 1
    for name in "ab":
        image = noise(name, mask.shape).astype(np.float32) + np.float32(2000) * mask
        write_image(world.root / "examples" / f"{name}.nii.gz", image)
        write_image(world.root / "examples" / f"{name}_mask.nii.gz", mask)


def teach(world: World) -> int:
    return hermes(
        "teach", "-m", world.model, "--examples", world.root / "examples", "--name", "cube", "--modality", "CT",
        "--steps", 1, "--leave-out", 0, "--dataset", 350, "-o", world.root / "cube.hermes", "--device", "cpu",
    )  # fmt: skip


def taught(world: World) -> None:
    """An addition that has learned as little as possible, its base, and the views of that."""
    from hermes_nnunet.weights.additions.base import read_fold
    from hermes_nnunet.weights.teaching import examples as of_folder
    from hermes_nnunet.weights.teaching.fitting import Settings
    from hermes_nnunet.weights.teaching.teaching import teach as teach_quickly

    examples(world)
    made = teach_quickly(
        read_fold(world.model, 0),
        of_folder.find_examples(world.root / "examples"),
        name="cube",
        modality="CT",
        dataset_name=VIEW,
        settings=Settings(steps=1, start_patches=2),
        leave_out=0,
    )
    made.addition.save(world.root / "cube.hermes")
    hermes("views", 900, CONFIGURATION, "-tr", TRAINER)


def _add(world: World, *options: object) -> int:
    return hermes("add", *options, "-m", world.model)


def add_in_place(world: World) -> int:
    return _add(world, world.root / "cube.hermes")


def add_new(world: World) -> int:
    return _add(world, world.root / "cube.hermes", "--into", 902)


def _added(world: World) -> None:
    taught(world)
    add_in_place(world)


def _is_no_model(world: World, unit: str) -> bool:
    return not (world.root / unit / "plans.json").exists()


ADDITIONS = (
    Subject("extend", new_member, extend, units=(f"raw/{EXTENSION}",)),
    Subject("teach", examples, teach),
    Subject(
        "add, a new model",
        taught,
        add_new,
        units=(f"results/{GROWN}/{_NAME}", f"results/{VIEW}/{_NAME}"),
    ),
    Subject(
        "add, in place", taught, add_in_place, units=(f"results/{COLLECTION}/{_NAME}", *_VIEWS), is_closed=_is_no_model
    ),
    Subject(
        "add, take out",
        _added,
        lambda world: _add(world, "--without", "cube"),
        units=(f"results/{COLLECTION}/{_NAME}", *_VIEWS),
        is_closed=_is_no_model,
    ),
)
