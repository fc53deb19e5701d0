"""Finding the files of cases in a folder."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hermes_nnunet.core.found_files import files_under
from hermes_nnunet.core.paper.case_lists import CaseLists
from hermes_nnunet.data.conversion.converter import SourceCase
from hermes_nnunet.data.conversion.volumes import NiftiVolume, Volume
from hermes_nnunet.errors import HermesError


def files_by_key(folder: Path, pattern: str) -> dict[str, Path]:
    """Files under `folder` whose path below it matches a regular expression in full; the first group is the key.

    Paths are written with forward slashes. Hidden files, such as those that macOS leaves in archives, are no files.

    Raises:
        HermesError: two files have one key, or a folder cannot be read.
    """
    found: dict[str, Path] = {}
    expression = re.compile(pattern)
    for path in sorted(files_under(folder)):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match is None:
            continue
        if match[1] in found:
            raise HermesError(f"{found[match[1]]} and {path} are both {match[1]}: remove one of them")
        found[match[1]] = path
    return found


def nifti_pairs(
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    describe: Callable[[str], dict[str, Any]],
    *,
    unlabelled: Mapping[str, Path] | None = None,
    channels: int = 1,
) -> list[SourceCase]:
    """Cases of one image and one label file each; where one of the two is missing, that is the case's problem.

    Args:
        images: key -> image.
        labels: key -> label file.
        describe: key -> `name` of the case, and other fields of it that differ from their defaults.
        unlabelled: key -> image of a case that is published without label.
        channels: number of volumes in an image file, each a channel.
    """

    def volumes(image: Path) -> tuple[Volume, ...]:
        return tuple(NiftiVolume(image, channel if channels > 1 else None) for channel in range(channels))

    cases = [SourceCase(**describe(key), images=volumes(path), label=None) for key, path in (unlabelled or {}).items()]
    for key in sorted({*images, *labels}):
        image, label = images.get(key), labels.get(key)
        missing = tuple(
            f"{other} has no {what} beside it"
            for what, path, other in (("image", image, label), ("label", label, image))
            if path is None
        )
        cases.append(
            SourceCase(
                **describe(key),
                images=() if image is None else volumes(image),
                label=None if label is None else NiftiVolume(label),
                problems=missing,
            )
        )
    return cases


def lists_of_folders(cases: Iterable[SourceCase], *, train: str, val: str, test: str) -> CaseLists:
    """Lists of the labelled cases of a data set whose parts are folders of images, by the folders' names."""
    parts: dict[str, list[str]] = {train: [], val: [], test: []}
    for case in cases:
        if case.label is not None or case.problems:
            (volume, *_) = case.images or (case.label,)
            folder = "" if volume is None else volume.files[0].parent.name.replace("labels", "images")
            parts[folder if folder in parts else train].append(case.listed_as)
    return CaseLists(*(tuple(parts[folder]) for folder in (train, val, test)))
