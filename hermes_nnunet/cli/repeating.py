"""`hermes_nnunet predict --like run.json`: a run again, with the options that were recorded."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hermes_nnunet.core.images.spacing_choice import SPACING_FROM
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.prediction.wishes import NIFTI, OUTPUT_TYPES

REQUIRED = {"input": "-i/--input", "output": "-o/--output", "model": "-m/--model"}
# Options that may be None for not given, since a record may say another value than these.
DEFAULTS = {"output_type": NIFTI, "checkpoint": "checkpoint_final.pth", "tile_step": 0.5}


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# What decides the voxels and the kind of files, and how each of it is checked in a record that people may have edited.
RECORDED: dict[str, Callable[[object], bool]] = {
    "member": _is_names,
    "tasks": _is_names,
    "all": _is_flag,
    "modality": lambda value: value is None or isinstance(value, str),
    "all_modalities": _is_flag,
    "spacing_from": lambda value: value in (None, *SPACING_FROM),
    "per_task": _is_flag,
    "output_type": lambda value: value in OUTPUT_TYPES,
    "preview": _is_flag,
    "viewer": _is_flag,
    "statistics": _is_flag,
    "probabilities": _is_flag,
    "folds": _is_names,
    "checkpoint": lambda value: isinstance(value, str),
    "tile_step": _is_share,
    "full_precision": _is_flag,
}


def completed(arguments: argparse.Namespace) -> tuple[argparse.Namespace, dict[str, Any] | None]:
    """The arguments with what a record or else the defaults say for those that were not given; and the run of it.

    Raises:
        UsageError: an argument is missing, or the record decides one that was given.
        HermesError: there is no such record.
    """
    filled = vars(arguments).copy()
    run = None
    if arguments.like is not None:
        run = _recorded_run(arguments.like)
        given = [name for name in RECORDED if filled[name] not in (None, False, [])]
        if given:
            flag = f"--{given[0].replace('_', '-')}"
            raise UsageError(f"{flag} is what {arguments.like} says of that run: leave out {flag}, or --like")
        filled |= run["options"]
        filled["input"] = filled["input"] or Path(run["input"])
        filled["model"] = filled["model"] or run["model"]["path"]
    missing = [flag for name, flag in REQUIRED.items() if filled[name] is None]
    if missing:
        raise UsageError(f"the following arguments are required: {', '.join(missing)}")
    filled |= {name: default for name, default in DEFAULTS.items() if filled[name] is None}
    return argparse.Namespace(**filled), run


def recorded(arguments: argparse.Namespace, folds: Sequence[str]) -> dict[str, Any]:
    """What a record has to say of the arguments, with what environment variables said in their place.

    Args:
        folds: that are averaged, named or not.
    """
    from hermes_nnunet.plans import all_modalities_override
    from hermes_nnunet.prediction.passes import wanted_modality

    return {
        **{name: getattr(arguments, name) for name in RECORDED},
        "modality": wanted_modality(arguments.modality),
        "all_modalities": arguments.all_modalities or (arguments.all and all_modalities_override()),
        "folds": list(folds),
    }


def _recorded_run(path: Path) -> dict[str, Any]:
    """The last run of a run.json."""
    from hermes_nnunet.prediction.run_record import read_runs

    run = read_runs(path)[-1]
    options = run["options"]
    for name, value in options.items():
        if name not in RECORDED:
            raise HermesError(
                f"{path}: the option {quoted(name)} is not of this release: run it with that of the record"
            )
        if not RECORDED[name](value):
            raise HermesError(f"{path}: the option {name} is {quoted(value)}: copy the file again")
    if not isinstance(run["model"].get("path"), str):
        raise HermesError(f"{path} does not say where the model is: copy the file again")
    return run
