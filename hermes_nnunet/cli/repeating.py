"""`hermes_nnunet predict --like run.json`: a run again, with the options that were recorded."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict

from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.images.spacing_choice import check_spacing_from
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.prediction.wishes import NIFTI, OUTPUT_TYPES
from hermes_nnunet.schema import OURS, Flag, Number, Text, checked, checked_by

REQUIRED = {"input": "-i/--input", "output": "-o/--output", "model": "-m/--model"}
# Options that may be None for not given, since a record may say another value than these.
DEFAULTS = {"output_type": NIFTI, "checkpoint": FINAL, "tile_step": 0.5}


def _check_output_type(name: str) -> None:
    if name not in OUTPUT_TYPES:
        raise HermesError(f"{quoted(name)} is none of {', '.join(OUTPUT_TYPES)}: copy the file again")


class Options(TypedDict, total=False):
    """What decides the voxels and the kinds of files, as it is recorded."""

    member: list[Text]
    tasks: list[Text]
    all: Flag
    modality: Text | None
    all_modalities: Flag
    spacing_from: Annotated[Text | None, checked_by(check_spacing_from)]
    per_task: Flag
    output_type: Annotated[Text, checked_by(_check_output_type)]
    preview: Flag
    viewer: Flag
    statistics: Flag
    probabilities: Flag
    folds: list[Text]
    checkpoint: Text
    tile_step: Number
    full_precision: Flag

    __pydantic_config__ = OURS  # type: ignore[misc]


RECORDED = tuple(Options.__annotations__)


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
    from hermes_nnunet.overrides import all_modalities_override
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
    checked(Options, run["options"], str(path), "run it with the release of the record", inside="options")
    return run
