"""Whether weights are those of the plans beside them: rows of pools have a meaning by the plans' order only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.checkpoints import NAMES, read_checkpoint
from hermes_nnunet.errors import HermesError


def check_trained_for(checkpoint: Mapping[str, Any], plans: Mapping[str, Any], where: Path | str, remedy: str) -> None:
    """Check that weights were trained for the tasks and modalities of plans, in their order.

    Weights that do not say what they were trained for are taken as they are: those that were imported, and those that
    additions were put into.

    Args:
        checkpoint: its content.
        plans: content of the plans file.
        where: names the checkpoint.

    Raises:
        HermesError: they were trained for others.
    """
    trained = _block(checkpoint.get("init_args"))
    own = plans[HERMES_BLOCK]
    if trained is None or bool(trained.get("additions")) != bool(own.get("additions")):
        return
    for name in ("tasks", "modalities"):
        before, now = list(trained.get(name, ())), list(own[name])
        if before != now:
            first = next((row for row, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), None)
            says = f"{len(before)}, now {len(now)}" if first is None else f"{before[first]} where now {now[first]} is"
            raise HermesError(f"{where} was trained for other {name} than its plans have now ({says}): {remedy}")


def check_other_folds(fold: Path, plans: Mapping[str, Any]) -> None:
    """Check that a training gives its model no plans that are not those of its other folds.

    Args:
        fold: folder of the fold that is trained.
        plans: of the training, which become the model's.

    Raises:
        HermesError: another fold has weights for other tasks or modalities.
    """
    remedy = f"move {fold.parent} away, since all folds of a model have one plans.json, or plan under another name"
    for folder in sorted(fold.parent.glob("fold_*")):
        path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
        if path is None or folder.name == fold.name:
            continue
        try:
            checkpoint = read_checkpoint(path)
        except HermesError:  # a damaged one is told where it is used
            continue
        check_trained_for(checkpoint, plans, path, remedy)


def _block(arguments: object) -> Mapping[str, Any] | None:
    plans = arguments.get("plans") if isinstance(arguments, Mapping) else None
    block = plans.get(HERMES_BLOCK) if isinstance(plans, Mapping) else None
    return block if isinstance(block, Mapping) else None
