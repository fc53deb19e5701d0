"""The labelled images that a model is taught with: finding them, and checking them before any work."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hermes_nnunet.core.found_files import files_in
from hermes_nnunet.core.images.endings import KNOWN, split_ending
from hermes_nnunet.core.images.geometry import grid_problem
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.finding import file_cases, find_cases
from hermes_nnunet.prediction.image_sources import FileSource

IMAGES, MASKS = "imagesTr", "labelsTr"
MASK_WORDS = ("mask", "seg", "label", "labels", "segmentation")
_MASK = re.compile(rf"(?P<case>.+)[_-]({'|'.join(MASK_WORDS)})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A labelled image.

    Attributes:
        name: for people.
        images: a file for each channel.
        mask: the file of its label map.
    """

    name: str
    images: tuple[Path, ...]
    mask: Path


def find_examples(folder: Path) -> list[Example]:
    """The examples of a folder: nnU-Net's imagesTr and labelsTr, or masks beside images.

    Beside images, a mask has the image's name and `_mask`, `_seg` or `_label` behind it: liver1.nii.gz (or
    liver1_0000.nii.gz, liver1_0001.nii.gz for channels) and liver1_mask.nii.gz. A number that the mask has too is the
    case's own: scan_0012.nii.gz and scan_0012_mask.nii.gz.

    Raises:
        HermesError: there are none, one has no mask or several, or it is not clear which images belong together.
    """
    if not folder.is_dir():
        raise HermesError(f"{folder} is not a folder: give one with images and masks")
    if (folder / IMAGES).is_dir():
        images = {case.name: _files(case) for case in find_cases(folder / IMAGES)}
        masks = _by_name(folder / MASKS, {path: _stem(path) for path in sorted((folder / MASKS).glob("*"))}, "mask")
        return _paired(folder, images, masks)
    stems = {path: _stem(path) for path in files_in(folder)}
    masks = _by_name(folder, {path: _case_of_mask(stem) for path, stem in stems.items()}, "mask")
    others = {path: stem for path, stem in stems.items() if stem and path not in masks.values()}
    whole = _by_name(folder, {path: stem for path, stem in others.items() if stem in masks}, "image")
    numbered = {case.name: _files(case) for case in file_cases(sorted(others.keys() - whole.values()), folder)}
    twice = sorted(whole.keys() & numbered)
    if twice:
        raise HermesError(
            f"{folder}: {whole[twice[0]].name} and {numbered[twice[0]][0].name} would both be the image of "
            f"{masks[twice[0]].name}: keep one of them"
        )
    return _paired(folder, {**{name: (path,) for name, path in whole.items()}, **numbered}, masks)


def examples_of(given: "str | Path | Iterable[tuple[str | Path | Sequence[str | Path], str | Path]]") -> list[Example]:
    """Examples as they are given in Python: a folder, or pairs of image (or its channels) and mask.

    Raises:
        HermesError: see `find_examples`.
    """
    if isinstance(given, str | Path):
        return find_examples(Path(given))
    examples = []
    for image, mask in given:
        channels = [image] if isinstance(image, str | Path) else image
        examples.append(Example(_stem(Path(mask)) or str(mask), tuple(map(Path, channels)), Path(mask)))
    if not examples:
        raise HermesError("no examples were given: give pairs of an image and its mask, or a folder")
    return examples


def check_examples(examples: Sequence[Example], labels: Mapping[str, int], channels: int) -> None:
    """See that each image has its mask on the same voxels, and the masks the labels.

    Args:
        labels: name of each label -> its value in the masks.
        channels: of an image, as the model takes it.

    Raises:
        HermesError: a file cannot be read, or does not fit.
    """
    found: set[int] = set()
    for example in examples:
        if len(example.images) != channels:
            raise HermesError(
                f"{example.images[0]}: the image has {len(example.images)} channel{'s' * (len(example.images) != 1)}, "
                f"the model takes {channels}: name its files {example.name}_0000.nii.gz and so on, one for each channel"
            )
        mask = open_image(example.mask)
        for image in map(open_image, example.images):
            problem = grid_problem(mask.geometry, str(example.mask), image.geometry, image.name)
            if problem is not None:
                raise HermesError(f"{problem}: a mask must lie on the voxels of its image")
        values = np.unique(mask.labels())
        others = [f"{value:g}" for value in values if value not in {0, *labels.values()}]
        if others:
            raise HermesError(
                f"{example.mask} has the value{'s' * (len(others) > 1)} {listed(others)}, which no label has "
                f"({listed(f'{name}={value}' for name, value in labels.items())}): name every label with --labels"
            )
        found |= {int(value) for value in values}
    for name, value in labels.items():
        if value not in found:
            raise HermesError(f"no example has a voxel of {name} (value {value}): correct --labels, or add an example")


def _paired(folder: Path, images: Mapping[str, tuple[Path, ...]], masks: Mapping[str, Path]) -> list[Example]:
    if not images and not masks:
        raise HermesError(f"{folder} holds no images ({KNOWN}): give a folder with images and masks")
    without = [name for name in images if name not in masks]
    if without:
        raise HermesError(
            f"{folder}: {listed(without)} {'has' if len(without) == 1 else 'have'} no mask: put it beside as "
            f"{without[0]}_mask.nii.gz, or into {MASKS} as {without[0]}.nii.gz"
        )
    alone = [path.name for name, path in masks.items() if name not in images]
    if alone:
        raise HermesError(
            f"{folder}: {listed(alone)} {'has' if len(alone) == 1 else 'have'} no image beside it: add it"
        )
    return [Example(name, files, masks[name]) for name, files in sorted(images.items())]


def _by_name(folder: Path, names: Mapping[Path, str], what: str) -> dict[str, Path]:
    """Name -> file; files without a name are left out."""
    files: dict[str, Path] = {}
    for path, name in names.items():
        other = files.setdefault(name, path)
        if name and other != path:
            raise HermesError(
                f"{folder} holds the {what} of {name} twice ({other.name}, {path.name}): keep one of the two files"
            )
    files.pop("", None)
    return files


def _files(case: object) -> tuple[Path, ...]:
    if not isinstance(case, FileSource):
        raise HermesError(f"{IMAGES} must hold image files ({KNOWN}): convert DICOM with 'hermes_nnunet convert'")
    return case.files


def _stem(path: Path) -> str:
    parts = split_ending(path.name)
    return "" if parts is None or path.name.startswith(".") else parts[0]


def _case_of_mask(stem: str) -> str:
    """The case whose mask a file is by its name; empty if it is none."""
    match = _MASK.fullmatch(stem)
    return match["case"] if match else ""
