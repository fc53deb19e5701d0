"""Every package that is imported is one that pip installs for us."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("hermes_nnunet", "trainers", "planners", "dataset_converters")
OPTIONAL = {"apex"}  # NVIDIA's, built from source


def imported_packages() -> dict[str, Path]:
    """Top-level packages that our modules import, at their top or inside functions, with one module that does."""
    found = {}
    for folder in FOLDERS:
        for module in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                else:
                    continue
                found |= {name.partition(".")[0]: module for name in names}
    return {name: module for name, module in found.items() if name not in sys.stdlib_module_names | {"hermes_nnunet"}}


def plain(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ <>=!\[;]", name)[0]).lower()


def test_every_imported_package_is_declared():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    declared = {plain(name) for name in [*project["dependencies"], *extras]}
    distributions = metadata.packages_distributions()
    missing = {
        name: str(module.relative_to(CHECKOUT))
        for name, module in imported_packages().items()
        if name not in OPTIONAL and declared.isdisjoint({plain(name), *map(plain, distributions.get(name, []))})
    }
    assert missing == {}
