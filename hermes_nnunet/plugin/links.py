"""Symbolic links from nnU-Net's package to our plug-in folders, for an editable hermes_nnunet or nnU-Net."""

from collections.abc import Callable
from pathlib import Path

from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.places import plugin_folder
from hermes_nnunet.plugin.points import PLUGIN_POINTS, PluginPoint


def link_plugin(nnunet_folder: Path, root: Path) -> dict[Path, str]:
    """Link every plug-in point of nnU-Net's package to our folder under `root`.

    Args:
        nnunet_folder: folder of the package `nnunetv2`.
        root: folder that holds hermes_nnunet, see `places.hermes_root`.

    Returns:
        What was done at each place, in words.

    Raises:
        HermesError: a place is taken by something that is not ours (nothing is linked then), or cannot be written.
    """
    wanted = {point.inside(nnunet_folder): _existing_folder(point, root) for point in PLUGIN_POINTS}
    for point, (place, folder) in zip(PLUGIN_POINTS, wanted.items(), strict=True):
        _refuse_what_is_not_ours(point, place, folder)
    return {place: _link(place, folder) for place, folder in wanted.items()}


def unlink_plugin(nnunet_folder: Path) -> dict[Path, str]:
    """Remove our links from nnU-Net's package, also those to a folder that is gone; touch nothing else.

    Returns:
        What was done at each place, in words.

    Raises:
        HermesError: a link cannot be removed.
    """
    done = {}
    for point in PLUGIN_POINTS:
        place = point.inside(nnunet_folder)
        if is_our_link(place, point):
            done[place] = f"removed the link to {place.readlink()}"
            _writing(place, place.unlink)
        elif place.is_symlink() or place.exists():
            done[place] = "left as it is: not a link of hermes_nnunet"
        else:
            done[place] = "not there"
    return done


def is_our_link(place: Path, point: PluginPoint) -> bool:
    """Whether `place` is a link to the plug-in folder of some hermes_nnunet, be it there or gone."""
    if not place.is_symlink():
        return False
    target = place.readlink().as_posix()
    return target.endswith((f"/{point.folder}", f"/{point.installed_folder}"))


def _existing_folder(point: PluginPoint, root: Path) -> Path:
    folder = plugin_folder(point, root)
    if not folder.is_dir():
        raise HermesError(
            f"the folder {folder} is missing: run 'hermes_nnunet unlink', then install hermes_nnunet again"
        )
    return folder


def _refuse_what_is_not_ours(point: PluginPoint, place: Path, folder: Path) -> None:
    if not place.parent.is_dir():
        raise HermesError(f"nnU-Net has no folder {place.parent}: install nnunetv2>=2.8,<2.9")
    if is_our_link(place, point) or not (place.is_symlink() or place.exists()):
        return
    if not (place.is_dir() and place.samefile(folder)):
        raise HermesError(
            f"{place} is there and is not a link of hermes_nnunet: remove it (or what installed it), then run "
            f"'hermes_nnunet link' again"
        )


def _link(place: Path, folder: Path) -> str:
    if place.is_dir() and place.samefile(folder):
        return f"linked to {folder} already" if place.is_symlink() else "installed there, needs no link"
    if place.is_symlink():
        _writing(place, place.unlink)
    _writing(place, lambda: place.symlink_to(folder, target_is_directory=True))
    return f"linked to {folder}"


def _writing(place: Path, action: Callable[[], object]) -> None:
    try:
        action()
    except OSError as error:
        raise HermesError(f"{place} cannot be changed ({error.strerror}): run as a user who may write there") from None
