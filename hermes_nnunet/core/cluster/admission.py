"""What a worker must have before it is given a case: our packages in our versions, and our folders."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from hermes_nnunet.core.appearing import PATIENCE_S, appears
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.errors import HermesError

# Those without which a worker would do other work, or none.
COMPARED = ("hermes_nnunet", "nnunetv2", "torch")


@dataclass(frozen=True)
class Folders:
    """Folders of a run, by the names that they have on every machine.

    Attributes:
        read: which must be there.
        written: in which a worker must see what this process writes; None where nothing is written.
    """

    read: tuple[Path, ...] = ()
    written: Path | None = None


@dataclass(frozen=True)
class Requirements:
    """What a worker must see: folders, and a file that was just written."""

    folders: tuple[Path, ...] = ()
    token: Path | None = None
    machine: str = field(default_factory=platform.node)


@contextmanager
def requirements(folders: Folders) -> Iterator[Requirements]:
    """What workers of this run need; within the block there is a small file for them to see.

    Raises:
        HermesError: the folder cannot be written to.
    """
    token = None if folders.written is None else folders.written / f".hermes_shared_{uuid4().hex}"
    if token is not None:
        try:
            token.touch()
        except OSError as error:
            raise HermesError(
                f"{token.parent} cannot be written to ({error.strerror}): choose another folder"
            ) from None
    try:
        yield Requirements(tuple(folders.read), token)
    finally:
        if token is not None:
            token.unlink(missing_ok=True)


def asking_for_versions() -> Callable[[Sequence[str]], tuple[str, dict[str, str | None]]]:
    """What tells, on any worker, the name of its machine and its versions of packages.

    A function within a function, since dask sends such a one whole: a worker without our packages would end itself over
    a function of ours that it cannot import.
    """

    def found(packages: Sequence[str]) -> tuple[str, dict[str, str | None]]:
        import platform
        from importlib import metadata

        versions: dict[str, str | None] = {}
        for package in packages:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = None
        return platform.node(), versions

    return found


def version_problem(machine: str, versions: Mapping[str, str | None]) -> str | None:
    """One line on the first package of which a worker has another version than here; None where all are alike."""
    own = package_versions()
    for package, version in versions.items():
        if version != own.get(package):
            there = f"no {package}" if version is None else f"{package} {version}"
            here = f"{package} {own.get(package)}"
            return f"the worker on {machine} has {there}, {platform.node()} has {here}: install the same there"
    return None


def problem_here(wanted: Requirements, patience_s: float = PATIENCE_S) -> str | None:
    """On a worker: one line on the first folder that it does not see; None where it sees all."""
    machine = platform.node()
    for folder in wanted.folders:
        if not folder.exists():
            return f"the worker on {machine} does not see {folder}: share it with that machine, under this name"
    if wanted.token is not None and not appears(wanted.token, patience_s):
        return (
            f"the worker on {machine} does not see what {wanted.machine} writes into {wanted.token.parent}: share this "
            "folder with that machine, under this name"
        )
    return None
