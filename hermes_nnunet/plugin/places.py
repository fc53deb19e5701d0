"""Where nnU-Net's package lies that is imported here, and where our plug-in folders lie."""

from importlib import metadata, util
from pathlib import Path

from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.points import PluginPoint


def hermes_root() -> Path:
    """The folder that holds the package hermes_nnunet: a checkout, or an environment's site-packages."""
    return Path(__file__).resolve().parents[2]


def plugin_folder(point: PluginPoint, root: Path) -> Path:
    """Our folder for a plug-in point: the one installed under `root`, or else the one of the checkout `root`."""
    installed = root / point.installed_folder
    return installed if installed.is_dir() and not installed.is_symlink() else root / point.folder


def nnunet_folder() -> Path:
    """Folder of the package `nnunetv2` that this Python imports.

    Raises:
        HermesError: nnU-Net is not installed, or an editable nnU-Net is hidden by a folder of the same name.
    """
    spec = util.find_spec("nnunetv2")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    try:
        metadata.version("nnunetv2")
    except metadata.PackageNotFoundError:
        raise HermesError("nnU-Net is not installed here: run pip install 'nnunetv2>=2.8,<2.9'") from None
    hiding = "" if spec is None else f"{next(iter(spec.submodule_search_locations or []))} "
    raise HermesError(
        f"the folder {hiding}hides an editable nnU-Net, beside which hermes_nnunet has to be editable too: run "
        f"'pip uninstall hermes-nnunet', remove that folder, run 'pip install -e .' in a checkout of hermes_nnunet, "
        f"then 'hermes_nnunet link'"
    )
