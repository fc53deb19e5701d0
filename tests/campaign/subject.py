"""What the campaign knows of a command that it interrupts."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world import World

Action = Callable[[World], int | None]


def essence(path: Path) -> Any:
    """What a file says: of arrays their numbers, for their containers hold times and whatever memory held."""
    digest = hashlib.sha256()
    if path.suffix == ".b2nd":
        import blosc2

        digest.update(blosc2.open(str(path), mode="r")[:].tobytes())
    elif path.suffix == ".npz":
        import numpy as np

        for name, array in np.load(path).items():
            digest.update(name.encode() + array.tobytes())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Subject:
    """A command that may be interrupted.

    Attributes:
        name: what it does.
        prepare: writes what it finds.
        run: the command; returns its exit code.
        again: what a user runs after an interruption, where that is another call.
        units: folders, below the root, that are as before or as after, never of both.
        growing: ends of the names of files that are written bit by bit: logs, and lists of what is finished.
        is_closed: whether whoever reads a unit refuses it, or finds nothing to read, so that it may be of both.
        essence: what must be equal in a file of the interrupted and of the uninterrupted command; None: nothing.
            Growing files must be such that it can be read.
    """

    name: str
    prepare: Action
    run: Action
    again: Action | None = None
    units: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    is_closed: Callable[[World, str], bool] = lambda world, unit: False
    essence: Callable[[Path], Any] = essence


def hermes(*words: object) -> int:
    """`hermes_nnunet WORDS`."""
    from hermes_nnunet.cli.main import main

    return main([str(word) for word in words])
