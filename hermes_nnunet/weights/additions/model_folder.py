"""The folder of a universal model with additions, and its change in place."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from hermes_nnunet.additions import CHECKPOINT_KEY
from hermes_nnunet.core.files import (
    copy_whole,
    folder_written_beside,
    holds_files,
    read_json,
    write_json,
    written_beside,
)
from hermes_nnunet.core.nnunet_files import FINGERPRINT
from hermes_nnunet.core.nnunet_folders import datasets_with_id
from hermes_nnunet.core.trained_for import check_folds_but
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.unknown_modality import SHARE_KEY
from hermes_nnunet.looks import Looks
from hermes_nnunet.networks.build import network_of_shapes
from hermes_nnunet.prediction.model_folder import DATASET_FILE, PLANS_FILE
from hermes_nnunet.prediction.views.write import CHECKPOINTS, COPIED_FOLD_FILES
from hermes_nnunet.schema import OURS, Text, versioned
from hermes_nnunet.weights.additions.base import ModelFold
from hermes_nnunet.weights.additions.compose import (
    check_together,
    collection_with_additions,
    collection_without_additions,
    composed_weights,
    dataset_file,
    plans_file,
    plans_with_additions,
    plans_without_additions,
)
from hermes_nnunet.weights.additions.file import Addition, AdditionHeader

FORMAT_VERSION = 1
# Says that a folder may be written again.
MARKER = "hermes_additions.json"
# What a checkpoint keeps: all that prediction reads. Its optimizer was of other weights.
_KEPT_ENTRIES = (
    "trainer_name",
    "init_args",
    "inference_allowed_mirroring_axes",
    "logging",
    "current_epoch",
    "_best_ema",
    SHARE_KEY,
)
_ASIDE = ".{name}.before"
# Weights without the additions.
_NOT_KEPT = shutil.ignore_patterns("checkpoint_*.pth")


@dataclass(frozen=True)
class ComposedModel:
    """A universal model of a base and additions, ready to be written.

    Attributes:
        plans, dataset_json: content of these files.
        checkpoints: fold -> content of its final checkpoint.
        sources: fold -> folder of the base's fold.
        taken_out: names of additions that the model had before.
    """

    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    checkpoints: Mapping[str, dict[str, Any]]
    sources: Mapping[str, Path]
    taken_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Marker:
    """hermes_additions.json."""

    taken_out: tuple[Text, ...] = ()

    __pydantic_config__ = OURS


def compose_model(folds: Mapping[str, tuple[ModelFold, Sequence[Addition]]], dataset_name: str) -> ComposedModel:
    """Put a base and additions together.

    Args:
        folds: fold of the new model -> a fold of the base, and all additions that it is to have.
        dataset_name: of the new model.

    Raises:
        HermesError: an addition does not fit its base, or additions do not go together.
    """
    plans: dict[str, Any] = {}
    content: dict[str, Any] = {}
    checkpoints = {}
    looks = _looks_of([addition.header for _, additions in folds.values() for addition in additions])
    for number, (base, additions) in folds.items():
        headers = [addition.header for addition in additions]
        of_base = plans_without_additions(base.plans)
        check_together(of_base, base.model, headers)
        for header in headers:
            if header.base.weights != base.base_hash:
                raise HermesError(of_another_base(header.name, header.base, base))
        hermes_plans = plans_with_additions(of_base, [replace(own, looks=looks.get(own.name)) for own in headers])
        assert base.model.collection is not None
        collection = collection_without_additions(base.model.collection, base.plans)
        collection = collection_with_additions(collection, hermes_plans, headers)
        of_fold = plans_file(base.model, hermes_plans, dataset_name)
        of_fold_content = dataset_file(base.model, collection, dataset_name)
        if plans and (plans, content) != (of_fold, of_fold_content):
            raise HermesError("the folds of a model must have the same additions: give one of each for every fold")
        plans, content = of_fold, of_fold_content
        configuration = plans["configurations"][base.checkpoint["init_args"]["configuration"]]
        network = network_of_shapes(configuration, base.model.image_channels, len(hermes_plans.tasks))
        checkpoints[number] = {
            **{key: base.checkpoint[key] for key in _KEPT_ENTRIES if key in base.checkpoint},
            "network_weights": composed_weights(network, base.base, additions),
            CHECKPOINT_KEY: [header.to_json() for header in headers],
        }
    sources = {number: base.model.path / f"fold_{base.fold}" for number, (base, _) in folds.items()}
    return ComposedModel(plans, content, checkpoints, sources)


def folds_with_weights(folder: Path, but: Collection[str]) -> list[str]:
    """Folds of a model that have weights, finished or not, but for some."""
    found = {path.parent.name.removeprefix("fold_") for path in folder.glob("fold_*/checkpoint_*.pth")}
    return sorted(found.difference(but))


def _looks_of(headers: Sequence[AdditionHeader]) -> dict[str, Looks]:
    """Of each addition, by its name: those of the first fold that has any, for a model has one plans file."""
    return {own.name: own.looks for own in reversed(headers) if own.looks is not None}


def of_another_base(name: str, wanted: Any, base: ModelFold) -> str:
    """What to say of an addition whose base is another one."""
    return (
        f"addition {name} is for the weights {wanted.weights[:12]} ({wanted.dataset_name}, {wanted.model}, fold "
        f"{wanted.fold}), {base.where} has {base.base_hash[:12]}: add it to that base"
    )


def write_composed(folder: Path, model: ComposedModel, *, in_place: bool = False) -> None:
    """Write a model's folder, whole or not at all; other folds that are there already stay.

    Args:
        in_place: `folder` is a model that was trained, or written so before, and all of it is replaced.

    Raises:
        HermesError: another model is there, or other folds of it that have other tasks or additions.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Folds of one collection may end at the same time, in processes of their own.
    with _locked(folder):
        restore_interrupted(folder)
        _write(folder, model, in_place=in_place)


def _locked(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def _write(folder: Path, model: ComposedModel, *, in_place: bool) -> None:
    if in_place:
        aside = _aside(folder)
        with folder_written_beside(aside.with_name(f"{aside.name}.new")) as new:
            shutil.copytree(folder, new, copy_function=_link, ignore=_NOT_KEPT, dirs_exist_ok=True)
            _write_content(new, model)
        os.rename(folder, aside)
        os.rename(aside.with_name(f"{aside.name}.new"), folder)
        shutil.rmtree(aside)
        return
    if holds_files(folder) and not (folder / MARKER).is_file():
        raise HermesError(f"{folder} is a model that was trained: choose another id with --into, or move it away")
    if not holds_files(folder):
        with folder_written_beside(folder) as new:
            _write_content(new, model)
        return
    written = {f"fold_{number}" for number in model.checkpoints}
    remedy = f"delete {folder}, since all folds of a model have the same additions, or choose another id (--into)"
    check_folds_but(written, folder, model.plans, remedy)
    # Without it a folder is nobody's model, so that a killed process leaves no model of two additions.
    (folder / PLANS_FILE).unlink(missing_ok=True)
    _write_content(folder, model)


def restore_interrupted(folder: Path) -> None:
    """Put a model back whose change in place was cut short between its two renames, and clear up after it."""
    aside = _aside(folder)
    shutil.rmtree(aside.with_name(f"{aside.name}.new"), ignore_errors=True)
    if not aside.is_dir():
        return
    if folder.exists():
        shutil.rmtree(aside)
    else:
        os.rename(aside, folder)


def restore_named(model: str, results: Path) -> None:
    """`restore_interrupted` for a model that is named as a folder, or as the id or name of its data set.

    Args:
        results: nnUNet_results.
    """
    given = Path(model).absolute()
    folders = [given] if given.name else []
    for name in datasets_with_id(results, int(model)) if model.isdigit() else [model]:
        asides = (results / name).glob(_ASIDE.format(name="*"))
        folders += [aside.with_name(aside.name.removeprefix(".").removesuffix(".before")) for aside in asides]
    for folder in folders:
        if _aside(folder).is_dir():
            with _locked(folder):
                restore_interrupted(folder)


def taken_out_of(folder: Path) -> tuple[str, ...]:
    """Names of additions that were taken out of a model.

    Raises:
        HermesError: its record is damaged.
    """
    path = folder / MARKER
    if not path.is_file():
        return ()
    remedy = "copy the model's folder again"
    return versioned(_Marker, read_json(path, remedy), FORMAT_VERSION, str(path), remedy).taken_out


def check_free_of_additions(folder: Path) -> None:
    """See that a training does not write into a model that was put together of a base and additions.

    Raises:
        HermesError: it would.
    """
    if (folder / MARKER).is_file():
        raise HermesError(
            f"{folder} is a universal model with additions: train with another trainer (-tr) or into another collection"
        )


def _aside(folder: Path) -> Path:
    return folder.with_name(_ASIDE.format(name=folder.name))


def _write_content(folder: Path, model: ComposedModel) -> None:
    write_json({"format_version": FORMAT_VERSION, "taken_out": model.taken_out}, folder / MARKER)
    for number, checkpoint in model.checkpoints.items():
        source, fold = model.sources[number], folder / f"fold_{number}"
        fold.mkdir(exist_ok=True)
        for name in COPIED_FOLD_FILES:
            if (source / name).is_file():
                copy_whole(source / name, fold / name)
        if source != fold:
            # It tells what Dice to expect, so that of an earlier base may not stay.
            shutil.rmtree(fold / "validation", ignore_errors=True)
        if (source / "validation").is_dir() and not (fold / "validation").exists():
            with folder_written_beside(fold / "validation") as validation:
                shutil.copytree(source / "validation", validation, copy_function=_link, dirs_exist_ok=True)
        with written_beside(fold / CHECKPOINTS[0]) as temporary:
            torch.save(checkpoint, temporary)
    fingerprint = next(iter(model.sources.values())).parent / FINGERPRINT
    if fingerprint.is_file():
        copy_whole(fingerprint, folder / FINGERPRINT)
    write_json(model.dataset_json, folder / DATASET_FILE)
    write_json(model.plans, folder / PLANS_FILE)


def _link(source: str, target: str) -> None:
    """A second name for a file that nobody changes; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
