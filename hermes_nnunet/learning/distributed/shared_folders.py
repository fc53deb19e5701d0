"""The check that all machines of a training read the same and write into one folder."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from hermes_nnunet.core.appearing import PATIENCE_S, appears
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RESULTS
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed.inputs import Inputs
from hermes_nnunet.learning.distributed.meeting import Meeting, Place


def check_shared_folders(meeting: Meeting, place: Place, machine: str, look: Callable[[], Inputs]) -> None:
    """Every process looks at its own machine; a problem of one is raised by all.

    Args:
        machine: name of this process's machine.
        look: finds the inputs of this process, or raises HermesError.

    Raises:
        HermesError: an input is missing on a machine or differs, or the results folder is not shared.
    """
    inputs, problem = None, None
    try:
        inputs = asdict(look())
    except HermesError as error:
        problem = f"machine {machine}: {error}"
    found = meeting.exchange("inputs", (problem, inputs))
    _raise_first(problem for problem, _ in found)
    everywhere = [Inputs(**inputs) for _, inputs in found]
    _raise_first(_difference(everywhere[0], other) for other in everywhere[1:])
    _check_results(meeting, place, everywhere[0], everywhere[place.rank])


def _difference(first: Inputs, other: Inputs) -> str | None:
    for name, digest in first.digests.items():
        if other.digests[name] != digest:
            return (
                f"machine {other.machine}: {Path(other.dataset) / name} is not the same as on machine {first.machine}: "
                f"let both share {PREPROCESSED}, or copy {first.dataset} from there"
            )
    return None


def _check_results(meeting: Meeting, place: Place, first: Inputs, own: Inputs) -> None:
    """The first process writes a small file into its results folder, which the others must see in theirs."""
    name = f".hermes_shared_{uuid4().hex}"
    written, problem = Path(first.results) / name, None
    try:
        if place.rank == 0:
            try:
                written.parent.mkdir(parents=True, exist_ok=True)
                written.touch()
            except OSError as error:
                problem = f"machine {first.machine}: cannot write into {RESULTS}={first.results} ({error}): correct it"
        (name, problem), *_ = meeting.exchange("written", (name, problem))
        _raise_first([problem])
        problem = None
        if not appears(Path(own.results) / name, PATIENCE_S):
            problem = (
                f"machine {own.machine}: {RESULTS}={own.results} does not show what machine {first.machine} writes "
                f"into {first.results}: set {RESULTS} to one folder that all machines share"
            )
        _raise_first(meeting.exchange("seen", problem))
    finally:
        if place.rank == 0 and written.exists():
            written.unlink()


def _raise_first(problems: Iterable[str | None]) -> None:
    for problem in problems:
        if problem is not None:
            raise HermesError(problem)
