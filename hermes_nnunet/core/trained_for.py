"""Whether weights are those of the plans beside them, which say what rows of pools mean and how images come to them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.additions import CHECKPOINT_KEY
from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.checkpoint_names import NAMES
from hermes_nnunet.core.files import parse_json
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import Text, checked, shown

_OF_IMAGES = ("spacing", "intensity_clipping")


@dataclass(frozen=True)
class _Named:
    name: Text


@dataclass(frozen=True)
class _Header:
    """What is read of the header of an addition, see weights.additions.file."""

    member: _Named
    tasks: list[_Named]
    new_modalities: list[Text]


def check_trained_for(checkpoint: Mapping[str, Any], plans: Mapping[str, Any], where: Path | str, remedy: str) -> None:
    """Check that weights are for the tasks, modalities and additions of plans, in their order, and for their images.

    Weights that do not say what they were trained for are taken as they are, such as those that were imported; of those
    that additions were put into, the additions are compared at least.

    Args:
        checkpoint: its content.
        plans: content of the plans file.
        where: names the checkpoint.

    Raises:
        HermesError: they were trained for others.
    """
    trained = _block(checkpoint.get("init_args"))
    own = plans[HERMES_BLOCK]
    # A training of one addition is told of it by its plans, a model that was put together by its checkpoint.
    put_in = [] if trained is not None and trained.get("additions") else own.get("additions", [])
    if CHECKPOINT_KEY in checkpoint or put_in:
        _check_additions(checkpoint.get(CHECKPOINT_KEY, []), put_in, where, remedy)
    if trained is None:
        return
    added = {
        "tasks": {name for addition in put_in for name in addition["tasks"]},
        "modalities": {name for addition in put_in for name in addition["new_modalities"]},
    }
    for name, of_additions in added.items():
        before, now = list(trained.get(name, ())), [row for row in own[name] if row not in of_additions]
        if before != now:
            first = next((row for row, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), None)
            says = f"{len(before)}, now {len(now)}" if first is None else f"{before[first]} where now {now[first]} is"
            raise HermesError(f"{where} was trained for other {name} than its plans have now ({says}): {remedy}")
    arguments = checkpoint["init_args"]
    images = (
        _images(own, str(arguments.get("configuration")), added["modalities"]) for own in (arguments["plans"], plans)
    )
    for name, before, now in zip(_OF_IMAGES, *images, strict=True):
        if before != now:
            raise HermesError(
                f"{where} was trained on images of another {name} ({shown(before)}) than its plans have now "
                f"({shown(now)}): {remedy}"
            )


def _images(plans: Mapping[str, Any], configuration: str, added: Container[str]) -> tuple[object, object]:
    """What plans say of the images of a configuration, in the order of _OF_IMAGES, without modalities of additions."""
    spacing = plans.get("configurations", {}).get(configuration, {}).get("spacing")
    rules = plans[HERMES_BLOCK].get("intensity_clipping", {})
    return spacing, {name: rule for name, rule in rules.items() if name not in added}


def check_other_folds(fold: Path, plans: Mapping[str, Any]) -> None:
    """Check that a training gives its model no plans that are not those of its other folds.

    Args:
        fold: folder of the fold that is trained.
        plans: of the training, which become the model's.

    Raises:
        HermesError: another fold has weights for other tasks, modalities or images.
    """
    remedy = f"move {fold.parent} away, since all folds of a model have one plans.json, or plan under another name"
    check_folds_but({fold.name}, fold.parent, plans, remedy)


def check_folds_but(written: Container[str], model: Path, plans: Mapping[str, Any], remedy: str) -> None:
    """Check that the folds of a model that are not written now go with the plans that it gets.

    Args:
        written: names of the folders of those that are, as fold_0.
        model: its folder.

    Raises:
        HermesError: another fold has weights for other tasks, modalities, additions or images.
    """
    from hermes_nnunet.core.checkpoints import read_checkpoint  # loads torch, which folders are listed without

    for folder in sorted(model.glob("fold_*")):
        path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
        if path is None or folder.name in written:
            continue
        try:
            checkpoint = read_checkpoint(path)
        except HermesError:  # a damaged one is told where it is used
            continue
        check_trained_for(checkpoint, plans, path, remedy)


def _check_additions(headers: object, wanted: Sequence[Mapping[str, Any]], where: Path | str, remedy: str) -> None:
    """Raises: HermesError where the headers that weights keep are not those of the additions of plans."""
    texts = checked(list[Text], headers, str(where), remedy, inside=CHECKPOINT_KEY)
    there = [checked(_Header, parse_json(text, str(where), remedy), str(where), remedy) for text in texts]
    before = [(own.member.name, [task.name for task in own.tasks], own.new_modalities) for own in there]
    now = [(own["member"], list(own["tasks"]), list(own["new_modalities"])) for own in wanted]
    if before != now:
        has, needs = (listed(name for name, *_ in several) or "none" for several in (before, now))
        also = " with other tasks or modalities" if has == needs else ""
        raise HermesError(f"{where} has the additions {has}, its plans have {needs} now{also}: {remedy}")


def _block(arguments: object) -> Mapping[str, Any] | None:
    plans = arguments.get("plans") if isinstance(arguments, Mapping) else None
    block = plans.get(HERMES_BLOCK) if isinstance(plans, Mapping) else None
    return block if isinstance(block, Mapping) else None
