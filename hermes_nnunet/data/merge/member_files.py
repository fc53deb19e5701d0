"""The image and label files of a member that keeps them in imagesTr and labelsTr."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from hermes_nnunet.core.images.endings import split_ending
from hermes_nnunet.core.wording import listed

_CHANNEL = re.compile(r"(.+)_(\d{4})")

# Case -> its images, one a channel, and its label file.
Files = dict[str, tuple[list[Path], Path]]


def files_in_folders(folder: Path, ending: str, channels: int) -> tuple[Files, list[str], list[str]]:
    """Files of every case, problems, and what people should know.

    All formats that are read are taken, in upper and lower case, since archives mix them.

    Args:
        ending: that dataset.json declares: missing files are named with it.
        channels: that every case must have.
    """
    images, labels = folder / "imagesTr", folder / "labelsTr"
    image_of, label_of = _by_name(images), _by_name(labels)
    problems = [
        f"{paths[0]} and {paths[1].name} are both {name}: keep one of them"
        for of_folder in (image_of, label_of)
        for name, paths in of_folder.items()
        if len(paths) > 1
    ]
    cases = set()
    for name, (image, *_) in image_of.items():
        match = _CHANNEL.fullmatch(name)
        if match is None:
            problems.append(f"{image} is not named <case>_0000{ending}, with four digits for the channel")
        elif int(match[2]) >= channels:
            problems.append(
                f"{image} is channel {int(match[2])}, but dataset.json names {channels} channels from 0: its last four "
                "digits are the channel"
            )
        else:
            cases.add(match[1])
    problems += [f"{label} has no image in imagesTr" for name, (label, *_) in label_of.items() if name not in cases]
    files = {
        case: (
            [
                _one(image_of, f"{case}_{channel:04d}", images / f"{case}_{channel:04d}{ending}")
                for channel in range(channels)
            ],
            _one(label_of, case, labels / f"{case}{ending}"),
        )
        for case in cases
    }
    return files, problems, _left_out(images) + _left_out(labels)


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Image files by their names without ending."""
    files = defaultdict(list)
    for path in _visible(folder):
        parts = split_ending(path.name)
        if parts is not None:
            files[parts[0]].append(path)
    return files


def _one(files: Mapping[str, list[Path]], name: str, missing: Path) -> Path:
    return files[name][0] if name in files else missing


def _left_out(folder: Path) -> list[str]:
    others = [path.name for path in _visible(folder) if split_ending(path.name) is None]
    return [f"not used, since no images of a known format: {listed(others)} in {folder}"] if others else []


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
