"""Writing the views of a universal model into nnUNet_results."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from hermes_nnunet.collection import Collection, Member
from hermes_nnunet.core.checkpoint_names import BEST, FINAL
from hermes_nnunet.core.files import (
    copy_whole,
    folder_written_beside,
    holds_files,
    holds_json,
    read_json,
    temporary_folder_in,
    write_json,
    written_beside,
)
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_files import FINGERPRINT, read_dataset_json, read_plans
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RAW, dataset_id, datasets_with_id, optional_folder
from hermes_nnunet.core.trained_for import check_folds_but
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.learning.training.member_dice import read_summary
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.views.content import view_dataset_json, view_plans, view_summary
from hermes_nnunet.prediction.views.segmentations import write_own_segmentations
from hermes_nnunet.schema import OURS, Text, versioned

FORMAT_VERSION = 1
MARKER = "hermes_view.json"
CHECKPOINTS = (FINAL, BEST)
COPIED_FOLD_FILES = ("debug.json", "progress.png")


@dataclass(frozen=True)
class _Marker:
    """hermes_view.json: folder of the universal model, and which of its folds the view has."""

    member: Text
    folds: list[Text]
    model: Text | None = None

    __pydantic_config__ = OURS


def write_views(model: Path, results: Path, folds: Sequence[int | str], *, replace: bool = False) -> list[str]:
    """Make or refresh the view of every member of a universal model.

    A folder that is not a view, and the view of another model, is left alone; and no view is written for a member whose
    id is another data set's here, as where the model comes from elsewhere. Nor is a view whose other folds, which stay,
    are for other tasks: a view outlives its model, and one of the same name may be another.

    Checkpoints are hard links (copies where the file system has none), so a view takes no space and outlives the
    universal model.

    Args:
        model: folder of the universal model, .../DatasetXXX/TRAINER__PLANS__CONFIGURATION.
        results: nnUNet_results.
        folds: trained folds that the views get.
        replace: put the view in the place of another model's, or of folds for other tasks; nothing of these is kept.

    Returns:
        A line for each member: what was written, or why it was not.

    Raises:
        HermesError: the model folder is incomplete.
    """
    remedy = "train the collection first"
    plans = read_plans(model / "plans.json", remedy)
    dataset_json = read_dataset_json(model / "dataset.json", remedy)
    collection = Collection.from_dataset_json(dataset_json, str(model))
    # Plans do not have members without labels, nor have these views.
    labelled = {name: member for name, member in collection.members.items() if member.tasks}
    strangers = labelled.keys() ^ HermesPlans.from_plans(plans).members.keys()
    if strangers:
        raise HermesError(
            f"plans.json and dataset.json of {model} are of different collections (only one has the member "
            f"{quoted(min(strangers))}): {remedy}"
        )
    for fold in folds:
        if not (model / f"fold_{fold}" / CHECKPOINTS[0]).is_file():
            raise HermesError(f"{model / f'fold_{fold}' / CHECKPOINTS[0]} does not exist: train fold {fold} to its end")
    messages = []
    for name, member in labelled.items():
        view = results / member.dataset_name / model.name
        other = _other_with_id(member.dataset_name, results)
        if other is not None and not view.exists():
            messages.append(
                f"{name}: {other} is left alone, which has the id of {member.dataset_name}, so that there is no view: "
                f"with one, nnU-Net would find neither. Predict with 'hermes_nnunet predict -m {model}'"
            )
            continue
        view.parent.mkdir(parents=True, exist_ok=True)
        # Folds of one model may end at the same time, in processes of their own.
        with FileLock(view.with_name(f".{view.name}.lock")):
            if holds_files(view) and not (view / MARKER).is_file():
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
            others = None if of_another else _folds_of_other_plans(view, view_plans(plans, name), folds)
            if others is not None and not replace:
                messages.append(f"{name}: {view} is left alone: {others}")
                continue
            replaces = of_another or others is not None
            _write_view(view, model, member, plans, collection, folds, replaces=replaces)
        messages.append(f"{name}: {view}")
    return messages


def _other_with_id(dataset_name: str, results: Path) -> Path | None:
    """Another data set that has the id of this one, in any of nnU-Net's folders."""
    folders = [results, *(folder for folder in map(optional_folder, (RAW, PREPROCESSED)) if folder is not None)]
    others = (
        folder / name
        for folder in folders
        for name in datasets_with_id(folder, dataset_id(dataset_name))
        if name != dataset_name
    )
    return next(others, None)


def remove_view(model: Path, results: Path, dataset_name: str) -> list[str]:
    """Remove the view that a model has made for a member which it no longer has; returns a line that says so."""
    view = results / dataset_name / model.name
    remove_leftovers(view.parent)
    if _owner(view) != model.parent.name:
        return []
    # At once, so that no killed process leaves a part of it.
    with FileLock(view.with_name(f".{view.name}.lock")), temporary_folder_in(view.parent) as hidden:
        os.rename(view, hidden / view.name)
    return [f"{dataset_name}: {view} is removed"]


def _owner(view: Path) -> str | None:
    """Data set of the model that a view was made of; None where no view is, or nothing was written into it yet."""
    if not (view / MARKER).is_file():
        return None
    model = _read_marker(view).model
    return None if model is None else Path(model).parent.name


def _folds_of_other_plans(view: Path, plans: Mapping[str, Any], folds: Sequence[int | str]) -> str | None:
    """Why the plans of a view cannot become those of a model: its folds that stay are for others; None if they may."""
    if not (view / MARKER).is_file() or holds_json(view / "plans.json", plans):
        return None
    remedy = "replace all of it with --replace-views, or move it away"
    try:
        check_folds_but({f"fold_{fold}" for fold in folds}, view, plans, remedy)
    except HermesError as error:
        return str(error)
    return None


def _read_marker(view: Path) -> _Marker:
    remedy = "delete the view"
    return versioned(_Marker, read_json(view / MARKER, remedy), FORMAT_VERSION, str(view / MARKER), remedy)


def _write_view(
    view: Path,
    model: Path,
    member: Member,
    plans: dict[str, Any],
    collection: Collection,
    folds: Sequence[int | str],
    *,
    replaces: bool,
) -> None:
    own = [name for name, case in collection.cases.items() if case.member == member.name]
    num_training = len(collection.labelled(own))
    content = {
        "dataset.json": view_dataset_json(member, num_training),
        # Last: without it a folder is nobody's model, so that a killed process leaves no view of two models.
        "plans.json": view_plans(plans, member.name),
    }
    remove_leftovers(view.parent)
    if replaces or not (view / MARKER).is_file():
        with folder_written_beside(view) as new:
            _write_content(new, model, member, content, collection, folds, known_folds=[])
            if replaces:
                # Into the hidden folder, which goes.
                os.rename(view, new.with_name("replaced"))
        return
    known_folds = _read_marker(view).folds
    if any(not holds_json(view / name, new) for name, new in content.items()):
        (view / "plans.json").unlink(missing_ok=True)
    _write_content(view, model, member, content, collection, folds, known_folds)


def _write_content(
    view: Path,
    model: Path,
    member: Member,
    content: Mapping[str, dict[str, Any]],
    collection: Collection,
    folds: Sequence[int | str],
    known_folds: Sequence[str],
) -> None:
    all_folds = sorted({str(fold) for fold in (*known_folds, *folds)})
    marker = _Marker(member.name, all_folds, str(model))
    write_json({"format_version": FORMAT_VERSION, **vars(marker)}, view / MARKER)
    if (model / FINGERPRINT).is_file():
        copy_whole(model / FINGERPRINT, view / FINGERPRINT)
    for fold in folds:
        _write_fold(view / f"fold_{fold}", model / f"fold_{fold}", member, collection)
    for name, of_file in content.items():
        write_json(of_file, view / name)


def _write_fold(target: Path, source: Path, member: Member, collection: Collection) -> None:
    validation = target / "validation"
    validation.mkdir(parents=True, exist_ok=True)
    for name in COPIED_FOLD_FILES:
        if (source / name).is_file():
            copy_whole(source / name, target / name)
    summary = source / "validation" / "summary.json"
    if summary.is_file():
        content = read_summary(summary, collection)
        write_own_segmentations(source / "validation", validation, member, collection)
        write_json(view_summary(content, collection, member.name), validation / "summary.json")
    else:
        # Of other weights than those that come now.
        (validation / "summary.json").unlink(missing_ok=True)
    for name in CHECKPOINTS:
        if (source / name).is_file():
            _link(source / name, target / name)
        else:
            # Of another network, where an addition has come into the model.
            (target / name).unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    with written_beside(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
