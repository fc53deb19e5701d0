"""The commands that are interrupted: what they find, how they are called, and what must be whole."""

import json
import shutil
from pathlib import Path
from typing import Any

from addition_subjects import ADDITIONS
from small_models import MEMBERS_FILE, small_collection, small_plans, write_plain_checkpoint, write_released
from subject import Subject, essence, hermes
from training_subjects import TRAININGS
from world import COLLECTION, CONFIGURATION, MODEL, TRAINER, World, noise, write_image


def _essence_of_prediction(path: Path) -> Any:
    """Of run.json the cases that are done, whichever run has done them."""
    if path.name != "run.json":
        return essence(path)
    runs = json.loads(path.read_text())["runs"]
    return json.dumps(sorted(case for run in runs for case in run["cases"]))


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


def lits(world: World) -> None:
    world.clear()
    for number in (6, 0, 33):
        for name, voxels in (("volume", noise(str(number), (6, 5, 4))), ("segmentation", noise("", (6, 5, 4)) % 3)):
            write_image(world.root / "source" / f"{name}-{number}.nii", voxels)


def convert(world: World) -> int:
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


def images_without_labels(world: World) -> None:
    """A held-out case has the model's own segmentation for its label, so that the model is right about it."""
    from hermes_nnunet.model import HermesModel

    _model(world)
    world.add_collection()
    raw = world.raw / COLLECTION
    content = json.loads((raw / "dataset.json").read_text())
    content["hermes"]["cases"]["abdomen__u"] = {"member": "abdomen", "modality": "CT", "patient": "u", "annotated": []}
    content["dataset"]["abdomen__u"] = {
        "images": ["images/abdomen__a_0000.nii.gz"],
        "label": "labels/abdomen__u.nii.gz",
    }
    for folder in (raw, world.model):
        (folder / "dataset.json").write_text(json.dumps(content))
    shutil.copyfile(world.preprocessed / COLLECTION / "splits_final.json", raw / "splits_final.json")
    image = raw / "images" / "abdomen__c_0000.nii.gz"
    found = HermesModel.load(world.model, device="cpu").predict(image, tasks=["liver", "spleen"], modality="CT")
    found.to_nifti(raw / "labels" / "abdomen__c.nii.gz")


LABELLED = "Dataset950_PseudoLabelled"


def label(world: World) -> int:
    return hermes(
        "pseudo-label", world.model, "--into", 950, "--member", "abdomen", "--tasks", "liver", "--device", "cpu"
    )


def _label_again(world: World) -> int:
    """A data set that is there is not written again."""
    code = label(world)
    return 0 if (world.raw / LABELLED).is_dir() else code


def plain_checkpoint(world: World) -> None:
    world.clear()
    world.add_collection()
    write_plain_checkpoint(small_plans(small_collection()), world.root / "plain.pth")


def start(world: World) -> int:
    return hermes("start-weights", world.root / "plain.pth", "-d", 900, "-o", world.root / "start.pth")


def _exported(world: World) -> None:
    _model(world)
    shutil.make_archive(str(world.root / "model"), "zip", world.results, COLLECTION)
    shutil.rmtree(world.results / COLLECTION)


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
    Subject("convert", lits, convert, growing=("conversion.json",)),
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
    Subject(
        "pseudo-label",
        images_without_labels,
        label,
        _label_again,
        units=(f"raw/{LABELLED}",),
    ),
    Subject("start-weights", plain_checkpoint, start),
    Subject("priors", _model, lambda world: hermes("priors", world.model, "-o", world.root / "priors.png")),
    *ADDITIONS,
    *TRAININGS,
)
