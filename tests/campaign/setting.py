"""What every try of the campaign stands on: a world, and processes in which all modules are imported already."""

import pkgutil
import platform
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from children import Children
from world import World


def prepare(folder: Path) -> tuple[World, Children]:
    """A world in a folder, and what runs commands in it."""
    import matplotlib as mpl

    import hermes_nnunet
    from hermes_nnunet.data.merge.structures import is_known

    world = World(folder / "work")
    platform.processor()  # it runs a command, once
    mpl.use("agg")
    for module in pkgutil.walk_packages(hermes_nnunet.__path__, "hermes_nnunet."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                import_module(module.name)
    # Files that are read once.
    is_known("liver")
    return world, Children(world.root, world.trainers, world.temporary)
