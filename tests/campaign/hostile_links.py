"""Links out of the folders, where commands write."""

from collections.abc import Callable, Iterator
from functools import partial

from addition_subjects import EXTENSION, GROWN, VIEW, add_in_place, add_new, examples, extend, new_member, taught, teach
from planting import CANARY, Attack, import_weights, install, members_file, merge, merge_file, model, predict, views
from planting import zip_with as zipped
from subject import hermes
from subjects import IMPORTED, LABELLED, convert, images_without_labels, label, lits, plain_checkpoint, start
from training_subjects import planned, preprocess_ours
from world import COLLECTION, MODEL, PLANS, World

_NAME = MODEL.partition("/")[2]
# A file that is not the command's own.
_MINE = f"{CANARY}/mine.txt"


def _link(world: World, planted: str, plant: Callable[[World], object], to: str = CANARY) -> None:
    plant(world)
    path = world.root / planted
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(world.root.parent / to)


def attacks_by_links() -> Iterator[Attack]:
    """To a folder, to a file and to nowhere.

    A data set's folder in nnUNet_results may be one, for disks are small: a model gets its own folder there, and the
    rest stays as it is.
    """
    for planted, plant, command, model_folder in (
        ("results/Dataset011_abdomen", model, views, MODEL),
        ("results/Dataset910_Ours", _members_file, import_weights, IMPORTED),
        (f"results/{COLLECTION}", partial(zipped, name=f"{MODEL}/notes.txt"), install, MODEL),
        (f"results/{GROWN}", taught, add_new, MODEL),
        (f"results/{VIEW}", taught, add_in_place, MODEL),
    ):
        name = model_folder.partition("/")[2]
        own = (name, f".{name}.lock")
        yield Attack(f"link at {planted}", partial(_link, planted=planted, plant=plant), command, own)
        nowhere = partial(_link, planted=planted, plant=plant, to="nowhere")
        yield Attack(f"link to nowhere at {planted}", nowhere, command)
    for planted, plant, command in _folders():
        yield Attack(f"link at {planted}", partial(_link, planted=planted, plant=plant), command)
    for planted, plant, command in _files():
        for to in (CANARY, _MINE, "nowhere"):
            yield Attack(
                f"link to {to} at {planted}, {getattr(command, '__name__', 'command').strip('_')}",
                partial(_link, planted=planted, plant=plant, to=to),
                command,
            )


def _folders() -> Iterator[tuple[str, Callable[[World], object], Callable[[World], object]]]:
    """(where a link to a folder is planted, what else is, the command that meets it)."""
    for planted in ("raw/.Dataset900_All.merging", "raw/Dataset900_All", "raw/Dataset900_All/labelsTr"):
        yield planted, _merge_file, merge
    yield f"results/Dataset011_abdomen/{_NAME}", model, views
    for planted in (f"raw/{EXTENSION}", f"raw/.{EXTENSION}.merging", f"raw/{EXTENSION}/labelsTr"):
        yield planted, new_member, extend
    for planted in ("raw/Dataset011_LiTS", "raw/Dataset011_LiTS/labelsTr", "raw/Dataset011_LiTS/imagesTr"):
        yield planted, lits, convert
    for planted in (f"results/{GROWN}/{_NAME}", f"results/{VIEW}/{_NAME}"):
        yield planted, taught, add_new
    for planted in (f".{_NAME}.before", f".{_NAME}.before.new"):
        yield f"results/{COLLECTION}/{planted}", taught, add_in_place
    yield f"raw/{LABELLED}", images_without_labels, label
    for planted in (".hermes_preprocessed", f".hermes_preprocessed/{PLANS}_3d_fullres"):
        yield f"preprocessed/{COLLECTION}/{planted}", planned, preprocess_ours


def _files() -> Iterator[tuple[str, Callable[[World], object], Callable[[World], object]]]:
    """(where a link is planted in the place of a file, what else is, the command that meets it)."""
    for name in ("a", "a.nii.gz", "labels.json", "run.json", "statistics.csv", "statistics.json"):
        yield f"out/{name}", model, _predict_over
    for name in ("a.nii.gz", "a.npz", "a.png", "a.viewer.html"):
        yield f"out/{name}", model, _predict_pictures
    yield "cube.hermes", examples, teach
    yield "start.pth", plain_checkpoint, start
    for name in ("priors.png", "priors.csv"):
        yield name, model, _priors
    yield "raw/Dataset011_LiTS/conversion.json", lits, convert
    yield f"raw/{EXTENSION}/hermes_merge.json", new_member, extend
    for name in (f"{PLANS}.json", "dataset.json", "splits_final.json", "dataset_fingerprint.json"):
        yield f"preprocessed/{EXTENSION}/{name}", new_member, extend
    for name in (f".{_NAME}.lock", f"{_NAME}/hermes_additions.json"):
        yield f"results/{COLLECTION}/{name}", taught, add_in_place
    yield f"results/Dataset011_abdomen/.{_NAME}.lock", model, views
    yield f"preprocessed/{COLLECTION}/gt_segmentations/abdomen__a.nii.gz", planned, preprocess_ours
    yield f"preprocessed/{COLLECTION}/{PLANS}_3d_fullres/abdomen__a.b2nd", planned, preprocess_ours


_merge_file = partial(merge_file, change=lambda content: None)
_members_file = partial(members_file, change=lambda content: None)


def _predict_over(world: World) -> int:
    return predict(world, "--all", "--modality", "CT", "--per-task", "--statistics", "--overwrite")


def _predict_pictures(world: World) -> int:
    return predict(world, "--all", "--modality", "CT", "--preview", "--viewer", "--probabilities", "--overwrite")


def _priors(world: World) -> int:
    return hermes("priors", world.model, "-o", world.root / "priors.png")
