"""run.json: what was run to make the segmentations of a folder, for papers, audits and running it again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict
from typing_extensions import TypedDict

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.schema import OURS, WITH_MORE, Text, shaped_as, versioned

RUN_FILE = "run.json"
FORMAT_VERSION = 1
# Of any characters.
_Path = Annotated[str, Strict()]


class _Model(TypedDict):
    path: _Path

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


class _Run(TypedDict):
    """What is read of a run again; the rest is for people."""

    versions: dict[Text, Any]
    device: Text
    model: _Model
    made_by: dict[Text, Any]
    options: dict[Text, Any]
    input: _Path
    cases: dict[Text, dict[Text, Any]]

    __pydantic_config__ = WITH_MORE  # type: ignore[misc]


@dataclass(frozen=True)
class _File:
    runs: Annotated[list[dict[str, Any]], shaped_as(Annotated[list[_Run], Field(min_length=1)])]

    __pydantic_config__ = OURS


class RunRecord:
    """The runs of a folder: each has the cases whose files it wrote last.

    Args:
        folder: of the results.
        before: runs that wrote into it before, see `runs_in`.
        run: content of the new run, see `run_description`.
    """

    def __init__(self, folder: Path, before: Sequence[dict[str, Any]], run: Mapping[str, Any]) -> None:
        self._path = folder / RUN_FILE
        self._before = list(before)
        self._run = {"started": _now(), "ended": None, **run, "cases": {}, "failed": {}}
        self._write()

    def add_case(
        self, name: str, images: Iterable[Path], seconds: float, remarks: Sequence[str], *, write: bool = True
    ) -> None:
        """Record a case whose files are written.

        Args:
            images: the files that it was read from.
            seconds: from the beginning of its reading until its files were there.
            remarks: on what was mended in its voxels.
            write: the file; else with the next case.
        """
        paths = [str(path.absolute()) for path in images]
        self._run["cases"][name] = {
            "images": paths, "finished": _now(), "seconds": round(seconds, 1), "remarks": list(remarks),
        }  # fmt: skip
        for run in self._before:
            run["cases"].pop(name, None)
        self._before = [run for run in self._before if run["cases"]]
        if write:
            self._write()

    def end(self, failed: Mapping[str, str]) -> None:
        """Record that there was nothing left to do.

        Args:
            failed: a line for each case that cannot be segmented, by name.
        """
        self._run["ended"] = _now()
        self._run["failed"] = dict(failed)
        self._write()

    def _write(self) -> None:
        write_runs([*self._before, self._run], self._path.parent)


def runs_in(folder: Path) -> list[dict[str, Any]]:
    """The runs that wrote into a folder of results; none where there is no record.

    Raises:
        HermesError: its run.json is not one of this release.
    """
    path = folder / RUN_FILE
    return read_runs(path) if path.exists() else []


def write_runs(runs: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the run.json of a folder of results."""
    write_json({"format_version": FORMAT_VERSION, "runs": list(runs)}, folder / RUN_FILE)


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a run.json, the last one last.

    Raises:
        HermesError: the file is missing, or not one of this release.
    """
    content = read_json(path, "give the run.json of a folder of results")
    return versioned(_File, content, FORMAT_VERSION, str(path), "move it away, or choose another folder").runs


def check_same_model(provenance: Provenance, run: Mapping[str, Any], path: Path) -> None:
    """See that what is run now is what a run before was, but for the images.

    Args:
        path: of the run.json.

    Raises:
        HermesError: its weights, plans, folds or options are others.
    """
    differences = provenance.differences(run["made_by"])
    if differences:
        raise HermesError(
            f"{path} is of another model ({listed(differences)} differ): name the model of that run with -m, or leave "
            "out --like"
        )


def other_circumstances(run: Mapping[str, Any], before: Mapping[str, Any], path: Path) -> list[str]:
    """A line for people where a run again has other packages or another device, so that a few voxels may differ.

    Args:
        path: of the run.json of the run before.
    """
    versions = {**before["versions"], **run["versions"]}
    changes = [
        f"{name} {before['versions'].get(name, 'not')} then, {run['versions'].get(name, 'not')} now"
        for name in versions
        if before["versions"].get(name) != run["versions"].get(name)
    ]
    if before["device"] != run["device"]:
        changes.append(f"{before['device']} then, {run['device']} now")
    return [f"not as in {path}, so a few voxels may differ: {listed(changes)}"] * bool(changes)


def _now() -> str:
    """2026-05-01T12:00:00+00:00."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
