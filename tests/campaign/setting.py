"""What every try of the campaign stands on: a world, processes to run commands in, and modules that are imported once."""

import multiprocessing.context
import pkgutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from children import Children
from world import World


def prepare(folder: Path) -> tuple[World, Children]:
    """A world in a folder, and what runs commands in it."""
    world = World(folder / "work")
    multiprocessing.context.BaseContext.Pool = _PoolOfNoProcess
    import matplotlib as mpl
    import torch

    import hermes_nnunet

    mpl.use("agg")
    torch.set_num_threads(1)  # a forked process has none of the other threads
    for module in pkgutil.walk_packages(hermes_nnunet.__path__, "hermes_nnunet."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                import_module(module.name)
    return world, Children(world.root, world.trainers)


class _Done:
    """A result of _PoolOfNoProcess."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def ready(self) -> bool:
        return True

    def get(self) -> Any:
        return self._value


class _PoolOfNoProcess:
    """In the place of nnU-Net's pools: a forked process whose parent has imported nnU-Net needs no other, for seconds.

    What a pool's processes would change is changed, and can be interrupted, in the one process that there is.
    """

    _pool = ()

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "_PoolOfNoProcess":
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...

    def join(self) -> None: ...

    def starmap_async(self, function: Callable[..., Any], arguments: Iterable[tuple]) -> _Done:
        return _Done([function(*each) for each in arguments])

    def starmap(self, function: Callable[..., Any], arguments: Iterable[tuple]) -> list:
        return self.starmap_async(function, arguments).get()
