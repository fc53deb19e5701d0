"""run.json: what was run to make the segmentations of a folder, for papers, audits and running it again."""

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.model_folder import DATASET_FILE, PLANS_FILE, ModelFolder
from hermes_nnunet.prediction.passes import Choice
from hermes_nnunet.prediction.predictor import HermesPredictor

RUN_FILE = "run.json"
FORMAT_VERSION = 1
_CHUNK = 1 << 20


class RunRecord:
    """The runs of a folder: each has the cases whose files it wrote last.

    Args:
        folder: of the results.
        before: runs that wrote into it before, see `runs_in`.
        run: content of the new run, see `described_run`.
    """

    def __init__(self, folder: Path, before: Sequence[dict[str, Any]], run: Mapping[str, Any]) -> None:
        self._path = folder / RUN_FILE
        self._before = list(before)
        self._run = {"started": _now(), "ended": None, **run, "cases": {}}
        self._write()

    def add_case(self, name: str, images: Iterable[Path], seconds: float, remarks: Sequence[str]) -> None:
        """Record a case whose files are written.

        Args:
            images: the files that it was read from.
            seconds: from the beginning of its reading until its files were there.
            remarks: on what was mended in its voxels.
        """
        paths = [str(path.absolute()) for path in images]
        self._run["cases"][name] = {
            "images": paths, "finished": _now(), "seconds": round(seconds, 1), "remarks": list(remarks),
        }  # fmt: skip
        for run in self._before:
            run["cases"].pop(name, None)
        self._before = [run for run in self._before if run["cases"]]
        self._write()

    def end(self) -> None:
        """Record that all cases were done."""
        self._run["ended"] = _now()
        self._write()

    def _write(self) -> None:
        write_json({"format_version": FORMAT_VERSION, "runs": [*self._before, self._run]}, self._path)


def described_run(
    predictor: HermesPredictor,
    choice: Choice,
    *,
    options: Mapping[str, Any],
    source: Path,
    hashes: Mapping[str, str],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """What is known of a run before its first case.

    Args:
        options: that decide what is written, by name.
        source: the input.
        hashes: `model_hashes` of the model.
        warnings: lines that people were shown.
    """
    model = predictor.model
    return {
        "versions": {**package_versions(), "python": platform.python_version()},
        "platform": platform.platform(),
        "device": _described_device(predictor.device),
        "model": {
            "path": str(model.path.absolute()),
            "dataset": model.plans["dataset_name"],
            "folds": list(model.folds),
            "checkpoint": model.checkpoint,
            "sha256": dict(hashes),
        },
        "options": dict(options),
        "passes": [one.to_json() for one in choice.passes],
        "input": str(source.absolute()),
        "warnings": list(warnings),
    }


def model_hashes(model: ModelFolder) -> dict[str, str]:
    """SHA-256 of everything of a model that decides what it predicts, by path in its folder."""
    files = [model.path / PLANS_FILE, model.path / DATASET_FILE, *model.checkpoints]
    return {file.relative_to(model.path).as_posix(): _sha256(file) for file in files}


def runs_in(folder: Path) -> list[dict[str, Any]]:
    """The runs that wrote into a folder of results; none where there is no record.

    Raises:
        HermesError: its run.json is not one of this release.
    """
    path = folder / RUN_FILE
    return read_runs(path) if path.exists() else []


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a run.json, the last one last.

    Raises:
        HermesError: the file is missing, or not one of this release.
    """
    content = read_json(path, "give the run.json of a folder of results")
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION or not _is_runs(content):
        raise HermesError(
            f"{path} is no record of runs of format version {FORMAT_VERSION}: move it away, or choose another folder"
        )
    runs: list[dict[str, Any]] = content["runs"]
    return runs


def check_same_model(hashes: Mapping[str, str], run: Mapping[str, Any], path: Path) -> None:
    """See that a model is the one of a run before.

    Args:
        hashes: `model_hashes` of the model.
        path: of the run.json.

    Raises:
        HermesError: a file has another content.
    """
    recorded = run["model"]["sha256"]
    for name in [*recorded, *hashes]:
        if recorded.get(name) != hashes.get(name):
            raise HermesError(
                f"{path} is of another model: {name} has another content now; name the model of that run with -m, or "
                "leave out --like"
            )


def _is_runs(content: Mapping[str, Any]) -> bool:
    runs = content.get("runs")
    if not isinstance(runs, list) or not runs:
        return False
    tables = ("cases", "model", "options", "versions")
    return all(isinstance(run, dict) and all(isinstance(run.get(key), dict) for key in tables) for run in runs)


def _described_device(device: torch.device) -> str:
    """ "cuda:0 (NVIDIA H100 80GB HBM3)", or "cpu (8 threads)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _now() -> str:
    """2026-05-01T12:00:00+00:00."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
