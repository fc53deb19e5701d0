import os
from pathlib import Path

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.places import nnunet_folder
from hermes_nnunet.plugin.points import PLUGIN_POINTS


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of this repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def installed_nnunet() -> Path:
    """Folder of an nnU-Net that holds our plug-in folders; `make test` asks that there is one."""
    try:
        folder = nnunet_folder()
        problem = None if all(point.inside(folder).is_dir() for point in PLUGIN_POINTS) else f"no plug-in in {folder}"
    except HermesError as error:
        problem = str(error)
    if problem is not None:
        end = pytest.fail if os.environ.get("HERMES_TEST_INSTALLED") else pytest.skip
        end(f"{problem}: run 'make test', which installs hermes_nnunet")
    return folder


@pytest.fixture
def empty_nnunet(tmp_path: Path) -> Path:
    """A package folder with the sub-packages of nnU-Net where our plug-in folders belong, and nothing of ours."""
    folder = tmp_path / "site-packages" / "nnunetv2"
    for point in PLUGIN_POINTS:
        point.inside(folder).parent.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with our plug-in folders, each with one module."""
    folder = tmp_path / "checkout"
    for point in PLUGIN_POINTS:
        (folder / point.folder).mkdir(parents=True)
        (folder / point.folder / "module.py").touch()
    return folder
