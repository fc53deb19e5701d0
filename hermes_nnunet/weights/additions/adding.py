"""Put additions into a model, or take some out of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hermes_nnunet.core.nnunet_folders import dataset_id, datasets_with_id
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder, read_model_folder
from hermes_nnunet.prediction.views.write import remove_view, write_views
from hermes_nnunet.weights.additions.base import ModelFold, fold_of
from hermes_nnunet.weights.additions.file import Addition, notices_of_looks
from hermes_nnunet.weights.additions.model_folder import (
    compose_model,
    folds_with_weights,
    of_another_base,
    restore_interrupted,
    taken_out_of,
    write_composed,
)


@dataclass(frozen=True)
class AddResult:
    """What was written.

    Attributes:
        folder: of the model.
        folds: of it.
        additions: names of all that it has now.
        added: names of those that were given.
        views: a line for each member.
        notices: lines that people should read.
    """

    folder: Path
    folds: tuple[str, ...]
    additions: tuple[str, ...]
    added: tuple[str, ...]
    views: list[str]
    notices: list[str]


def add(
    files: Sequence[str | os.PathLike[str]],
    model: Path,
    *,
    results: Path,
    without: Sequence[str] = (),
    into: int | None = None,
    name: str | None = None,
    replace_views: bool = False,
) -> AddResult:
    """Put additions into a universal model, and take others out, and write the views.

    Everything is checked before anything is written.

    Args:
        files: of the additions; where the model has several folds, those of each fold.
        model: its folder.
        results: nnUNet_results.
        without: names of additions to take out.
        into: id of a new model with the result; None changes the model itself.
        name: of the new model.
        replace_views: see `write_views`.

    Raises:
        HermesError: an addition is of another base or does not go with what the model has, or the target is taken.
    """
    if not files and not without:
        raise UsageError("nothing to do: name files of additions, or additions to take out (--without)")
    if name is not None and into is None:
        raise UsageError("--name is that of a new model: give its id, too (--into)")
    restore_interrupted(model)
    folder = read_model_folder(model)
    folder.check_plans()
    if folder.collection is None:
        raise HermesError(f"{model} is the model folder of one member: give that of its universal model")
    present = [addition.member for addition in folder.hermes_plans.additions]
    taken_out = taken_out_of(model)
    for gone in without:
        # One that is out already was taken out by a run that ended before it had written the views.
        if gone not in present and (into is not None or gone not in taken_out):
            raise HermesError(
                f"{model} has no addition '{gone}'{did_you_mean(gone, present)}: it has {listed(present) or 'none'}"
            )
    new = _by_fold(folder, [(path, Addition.load(path)) for path in files])
    kept = set(new) if files else set(folder.folds)
    # Unfinished ones among them: a change in place would take their weights away.
    lost = folds_with_weights(model, but=kept)
    if lost and into is None:
        raise HermesError(
            f"{model} also has weights of fold {listed(lost)}, which would not get what others get: make a model of "
            "the others with --into ID, or finish and add to every fold"
        )
    folds = {}
    # The order in which files of one fold are named is that of all, since a model has one order of tasks.
    order = list(dict.fromkeys(addition.header.name for of_fold in new.values() for addition in of_fold))
    is_changed = not set(present).isdisjoint(without)
    for fold in folder.folds:
        if fold in kept:
            base = fold_of(folder, fold)
            before = [addition for addition in base.additions if addition.header.name not in without]
            # What is there already was added by a run that ended before it had written the views.
            own = [one for one in new.get(fold, []) if into is not None or not any(map(one.is_same_as, before))]
            own.sort(key=lambda one: order.index(one.header.name))
            folds[fold] = base, [*before, *own]
            is_changed = is_changed or bool(own)
    target = model if into is None else results / _dataset_name(results, folder, into, name) / model.name
    composed = compose_model(folds, target.parent.name)
    names = tuple(addition.header.name for addition in next(iter(folds.values()))[1])
    views: list[str] = []
    if into is None:
        # Before the model lacks them, else a run that ends in between leaves views that no other run knows of.
        for gone in (name for name in without if name in present):
            views += remove_view(target, results, folder.hermes_plans.members[gone].dataset_name)
        if is_changed:
            gone_now = tuple(sorted({*taken_out, *without} - {*names}))
            write_composed(target, replace(composed, taken_out=gone_now), in_place=True)
    else:
        write_composed(target, composed)
    views += write_views(target, results, list(folds), replace=replace_views)
    given = {addition.header.name for of_fold in new.values() for addition in of_fold}
    added = tuple(name for name in names if name in given)
    plans = HermesPlans.from_plans(composed.plans)
    notices = notices_of_looks(plans.additions) if folder.hermes_plans.can_find_modality else []
    return AddResult(target, tuple(folds), names, added, views, notices)


def _by_fold(
    folder: ModelFolder, additions: Sequence[tuple[str | os.PathLike[str], Addition]]
) -> dict[str, list[Addition]]:
    """The additions of each fold that has any: the fold whose weights they are for.

    Raises:
        HermesError: one is for none of them.
    """
    found: dict[str, list[Addition]] = {}
    if not additions:
        return found
    bases: dict[str, ModelFold] = {}
    left = list(additions)
    # Hashes take seconds: no more folds are read than needed. An addition names the fold that it was made for.
    named = {addition.header.base.fold for _, addition in additions}
    for fold in sorted(folder.folds, key=lambda fold: fold not in named):
        if not left:
            break
        bases[fold] = fold_of(folder, fold)
        own = [addition for _, addition in left if addition.header.base.weights == bases[fold].base_hash]
        if own:
            found[fold] = own
        left = [(path, other) for path, other in left if other.header.base.weights != bases[fold].base_hash]
    for path, addition in left:
        wanted = addition.header.base
        base = bases[wanted.fold if wanted.fold in bases else folder.folds[0]]
        raise HermesError(f"{path}: {of_another_base(addition.header.name, wanted, base)}")
    return found


def _dataset_name(results: Path, folder: ModelFolder, into: int, name: str | None) -> str:
    """Name of the new model's data set.

    Raises:
        HermesError: another data set has the id.
    """
    present = datasets_with_id(results, into)
    own = folder.path.parent.name
    if name is None:
        name = next((known.partition("_")[2] for known in present), own.partition("_")[2])
    wanted = f"Dataset{into:03d}_{name}"
    others = [known for known in present if known != wanted]
    if others:
        raise HermesError(f"{results / others[0]} has this id: choose another one with --into")
    if dataset_id(wanted) in {dataset_id(member.dataset_name) for member in folder.members.values()}:
        raise HermesError(f"{into} is the id of a member, whose view lies there: choose another one with --into")
    return wanted
