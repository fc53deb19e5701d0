"""Writing the views of a universal model into nnUNet_results."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from hermes_nnunet.collection import Collection, Member
from hermes_nnunet.core.files import TEMPORARY_PREFIX, read_json, write_json, written_beside
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.views.content import view_dataset_json, view_plans, view_summary
from hermes_nnunet.prediction.views.segmentations import write_own_segmentations

FORMAT_VERSION = 1
MARKER = "hermes_view.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
COPIED_FOLD_FILES = ("debug.json", "progress.png")
FINGERPRINT = "dataset_fingerprint.json"


def write_views(model: Path, results: Path, folds: Sequence[int | str], *, replace: bool = False) -> list[str]:
    """Make or refresh the view of every member of a universal model.

    A folder that is not a view, and the view of another model, is left alone.

    Checkpoints are hard links (copies where the file system has none), so a view takes no space and outlives the
    universal model.

    Args:
        model: folder of the universal model, .../DatasetXXX/TRAINER__PLANS__CONFIGURATION.
        results: nnUNet_results.
        folds: trained folds that the views get.
        replace: put the view in the place of another model's, of which nothing is kept.

    Returns:
        A line for each member: what was written, or why it was not.

    Raises:
        HermesError: the model folder is incomplete.
    """
    remedy = "train the collection first"
    plans = read_json(model / "plans.json", remedy)
    dataset_json = read_json(model / "dataset.json", remedy)
    collection = Collection.from_dataset_json(dataset_json, str(model))
    for fold in folds:
        if not (model / f"fold_{fold}" / CHECKPOINTS[0]).is_file():
            raise HermesError(f"{model / f'fold_{fold}' / CHECKPOINTS[0]} does not exist: train fold {fold} to its end")
    messages = []
    for name, member in collection.members.items():
        view = results / member.dataset_name / model.name
        view.parent.mkdir(parents=True, exist_ok=True)
        # Folds of one model may end at the same time, in processes of their own.
        with FileLock(view.with_name(f".{view.name}.lock")):
            if _is_free(view):
                _make(view)
            if not (view / MARKER).is_file():
                messages.append(
                    f"{name}: {view} was not made by Hermes and is left alone: move it away and run 'hermes_nnunet "
                    "views'"
                )
                continue
            owner = _owner(view)
            of_another = owner not in (None, model.parent.name)
            if of_another and not replace:
                messages.append(
                    f"{name}: {view} is a view of {owner} and is left alone: give it to {model.parent.name} with "
                    f"--replace-views, or move it away"
                )
                continue
            with _put_aside(view) if of_another else nullcontext():
                _write_view(view, model, member, plans, collection, folds)
            _write_view(view, model, member, plans, collection, folds)
        messages.append(f"{name}: {view}")
    return messages


def _is_free(view: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return not view.exists() or (view.is_dir() and next(view.iterdir(), None) is None)


def _make(view: Path) -> None:
    """Make the folder together with its marker, so that whenever this is cut short, the folder is known to be ours."""
    with tempfile.TemporaryDirectory(dir=view.parent, prefix=TEMPORARY_PREFIX) as folder:
        made = Path(folder) / view.name
        made.mkdir()
        write_json(_marker(folds=[]), made / MARKER)
        os.rename(made, view)


def _marker(folds: Sequence[str], **origin: str) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, **origin, "folds": list(folds)}


def _owner(view: Path) -> str | None:
    """Data set of the model that a view was made of; None where nothing was written into it yet."""
    model = read_json(view / MARKER, "delete the view").get("model")
    return None if model is None else Path(model).parent.name


@contextmanager
def _put_aside(folder: Path) -> Iterator[None]:
    """Make a new folder in a folder's place, and delete the old one after the block; if that fails, it comes back."""
    aside = folder.with_name(TEMPORARY_PREFIX + folder.name)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    try:
        _make(folder)
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        raise
    shutil.rmtree(aside)


def _write_view(
    view: Path, model: Path, member: Member, plans: dict[str, Any], collection: Collection, folds: Sequence[int | str]
) -> None:
    known_folds = read_json(view / MARKER, "delete the view")["folds"]
    all_folds = sorted({str(fold) for fold in (*known_folds, *folds)})
    write_json(_marker(all_folds, member=member.name, model=str(model)), view / MARKER)
    num_training = sum(case.member == member.name for case in collection.cases.values())
    write_json(view_dataset_json(member, num_training), view / "dataset.json")
    write_json(view_plans(plans, member.name), view / "plans.json")
    if (model / FINGERPRINT).is_file():
        _copy(model / FINGERPRINT, view / FINGERPRINT)
    for fold in folds:
        _write_fold(view / f"fold_{fold}", model / f"fold_{fold}", member, collection)


def _write_fold(target: Path, source: Path, member: Member, collection: Collection) -> None:
    validation = target / "validation"
    validation.mkdir(parents=True, exist_ok=True)
    for name in COPIED_FOLD_FILES:
        if (source / name).is_file():
            _copy(source / name, target / name)
    summary = source / "validation" / "summary.json"
    if summary.is_file():
        content = read_json(summary, "run the validation again (nnUNetv2_train ... --val)")
        write_own_segmentations(source / "validation", validation, member, collection)
        write_json(view_summary(content, collection, member.name), validation / "summary.json")
    for name in CHECKPOINTS:
        if (source / name).is_file():
            _link(source / name, target / name)


def _copy(source: Path, target: Path) -> None:
    with written_beside(target) as temporary:
        shutil.copyfile(source, temporary)


def _link(source: Path, target: Path) -> None:
    with written_beside(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
