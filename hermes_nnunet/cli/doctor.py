"""`hermes_nnunet doctor`: what works on this machine, what is missing, and what to run then."""

import argparse
import contextlib
import importlib
import io
import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from hermes_nnunet.core.nnunet_folders import RAW, datasets_in, optional_folder
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.places import hermes_root, nnunet_folder, plugin_folder
from hermes_nnunet.plugin.points import PLUGIN_POINTS, PluginPoint
from hermes_nnunet.version import __version__

DISTRIBUTION = "hermes-nnunet"
SHOWN_VERSIONS = ("nnunetv2", "torch")
NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
GIBIBYTE = 1024**3


class Status(Enum):
    """How bad a finding is, with its colour; only `MISSING` makes the command fail."""

    OK = "green"
    NOTE = "yellow"
    MISSING = "red"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    status: Status
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each thing that is looked at; return 1 where something needed is missing."""
    from rich.console import Console
    from rich.text import Text

    warnings.simplefilter("ignore")  # of torch and its company about each other
    console = Console(soft_wrap=True, markup=False, highlight=False)
    missing = 0
    for finding in examine():
        missing += finding.status is Status.MISSING
        console.print(Text(f"{finding.status.name.lower():8}", style=finding.status.value), finding.text)
    console.print(f"{missing} missing" if missing else "everything needed is there")
    return 1 if missing else 0


def examine() -> Iterator[Finding]:
    """All findings, quick ones first, so that lines appear while torch is still being imported."""
    yield from _versions()
    yield from _folders()
    yield from _collections()
    yield from _plugin_points()
    yield from _devices()
    yield from _lamb()


def _versions() -> Iterator[Finding]:
    yield Finding(Status.OK, f"Python {platform.python_version()}")
    root = hermes_root()
    if not _is_installed():
        yield Finding(
            Status.MISSING,
            f"hermes_nnunet {__version__} in {root} is not installed: run 'pip install .' there",
        )
        return
    yield Finding(Status.OK, f"hermes_nnunet {__version__} in {root}")
    for requirement in metadata.requires(DISTRIBUTION) or []:
        yield from _requirement(requirement)


def _is_installed() -> bool:
    try:
        metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return True


def _requirement(requirement: str) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return
    asked = f"{wanted.name}{wanted.specifier}"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        yield Finding(Status.MISSING, f"{wanted.name} is not installed: run pip install '{asked}'")
        return
    if not wanted.specifier.contains(version, prereleases=True):
        yield Finding(
            Status.MISSING,
            f"{wanted.name} {version} is not the version that is needed: run pip install '{asked}'",
        )
    elif wanted.name in SHOWN_VERSIONS:
        yield Finding(Status.OK, f"{wanted.name} {version}{f' (needed: {wanted.specifier})' * bool(wanted.specifier)}")


def _folders() -> Iterator[Finding]:
    for name in NNUNET_FOLDERS:
        value = os.environ.get(name)
        if not value:
            yield Finding(Status.MISSING, f"{name} is not set: run 'export {name}=/path/to/{name}'")
        elif not Path(value).is_dir():
            yield Finding(Status.MISSING, f"{name} is {value}, which is no folder: run 'mkdir -p {value}'")
        elif not os.access(value, os.W_OK | os.X_OK):
            yield Finding(
                Status.MISSING, f"{name} is {value}, where you may not write: set it to a folder of yours, or chmod it"
            )
        else:
            free = shutil.disk_usage(value).free / GIBIBYTE
            yield Finding(Status.OK, f"{name} is {value} ({free:.0f} GiB free)")


def _collections() -> Iterator[Finding]:
    from hermes_nnunet.data.merge.record import check_whole

    raw = optional_folder(RAW)
    if raw is None:
        return
    for name in sorted(datasets_in(raw)):
        try:
            check_whole(raw / name)
        except HermesError as error:
            yield Finding(Status.MISSING, str(error))


def _plugin_points() -> Iterator[Finding]:
    try:
        nnunet = nnunet_folder()
    except HermesError as error:
        yield Finding(Status.MISSING, str(error))
        return
    for point in PLUGIN_POINTS:
        yield _plugin_point(point, nnunet, hermes_root())


def _plugin_point(point: PluginPoint, nnunet: Path, root: Path) -> Finding:
    place = point.inside(nnunet)
    remedy = _remedy(nnunet, root)
    if not place.is_dir():
        return Finding(Status.MISSING, f"{point.what}: nnU-Net has no folder {place}: {remedy}")
    folder = plugin_folder(point, root)
    if not (folder.is_dir() and place.samefile(folder)):
        return Finding(Status.MISSING, f"{point.what}: {place} is not the one of this hermes_nnunet: {remedy}")
    try:
        seen = _look_up(point)
    except Exception as error:  # whatever a broken installation raises is the finding
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(Status.MISSING, f"{point.what}: nnU-Net's search in {place} fails ({problem}): {remedy}")
    if seen is None:
        return Finding(Status.MISSING, f"{point.what}: nnU-Net finds no {point.class_name} in {place}: {remedy}")
    return Finding(Status.OK, f"{point.what}: nnU-Net sees {seen}")


def _look_up(point: PluginPoint) -> str | None:
    """Dotted name of what nnU-Net's own search finds at a plug-in point, None where it finds nothing of ours there."""
    if point.class_name is None:
        return importlib.import_module(point.package).__name__
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    searched = importlib.import_module(point.searched_package)
    with contextlib.redirect_stdout(io.StringIO()):
        found = recursive_find_python_class(searched.__path__[0], point.class_name, point.searched_package)
    return None if found is None else f"{found.__module__}.{found.__name__}"


def _remedy(nnunet: Path, root: Path) -> str:
    if not _is_installed():
        return "install hermes_nnunet first"
    if nnunet.parent == root:
        return "run 'hermes_nnunet unlink' and then, in its checkout, 'pip install --force-reinstall --no-deps .'"
    return "run 'hermes_nnunet link'"


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(Status.MISSING, f"torch cannot be imported ({error}): run 'pip install --force-reinstall torch'")
        return
    yield Finding(Status.OK, f"CPU with {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(Status.OK, f"cuda:{index} {properties.name}, {properties.total_memory / GIBIBYTE:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Finding(Status.OK, "Apple GPU (mps)")
    elif not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        yield Finding(
            Status.NOTE,
            f"torch {torch.__version__} cannot use the NVIDIA GPU of this machine: compare its CUDA version with the "
            f"one that nvidia-smi shows, and install the torch that fits",
        )
    elif not torch.cuda.is_available():
        yield Finding(Status.NOTE, "no GPU: training works with -device cpu and HermesPlannerS, slowly")


def _lamb() -> Iterator[Finding]:
    try:
        import torch

        from hermes_nnunet.learning.training.lamb import working_lamb

        lamb = working_lamb("cuda" if torch.cuda.is_available() else "cpu")
    except (HermesError, ImportError, OSError) as error:
        yield Finding(Status.MISSING, f"optimizer LAMB of HermesTrainerPaper: {error}")
    else:
        yield Finding(Status.OK, f"optimizer LAMB of HermesTrainerPaper: {lamb.description}")
