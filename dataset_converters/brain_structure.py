"""Brains of healthy persons (IXI, DLBS and SALD) with probability maps of three tissues, as one set from Kaggle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.data.conversion import (
    Converter,
    Grid,
    NiftiVolume,
    SourceCase,
    Volume,
    compare_grids,
    files_by_key,
    nothing_found,
)
from hermes_nnunet.errors import HermesError

# In the order of the labels.
_TISSUES = ("graymatter", "whitematter", "csf")
_ROUNDING = 1e-3
REST, ZERO = "rest", "zero"
_RULES = {
    REST: "where the three maps leave more to 1 than each of them has; the paper's rule, where all are 0, is "
    "--background zero",
    ZERO: "where all three maps are 0, as in the paper",
}


@dataclass(frozen=True)
class TissueMaps(Volume):
    """The label of the most probable tissue, from a map for each.

    Attributes:
        background: where there is none: "rest" where what the maps leave to 1 is more than any of them, "zero" where
            all maps are 0, as the paper has it.
    """

    maps: tuple[NiftiVolume, ...]
    background: str = REST

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(tissue.path for tissue in self.maps)

    def told(self, spacing_from: str | None) -> "TissueMaps":
        return replace(self, maps=tuple(tissue.told(spacing_from) for tissue in self.maps))

    def grid(self) -> Grid:
        first, *others = (tissue.grid() for tissue in self.maps)
        for tissue, grid in zip(self.maps[1:], others, strict=True):
            _, problem = compare_grids(first, grid)
            if problem is not None:
                raise HermesError(f"{tissue.path} {problem} {self.maps[0].path}")
        return first

    def read(self) -> nibabel.Nifti1Image:
        probabilities = np.stack([self._probability(tissue) for tissue in self.maps])
        background = 1 - probabilities.sum(axis=0)
        if self.background == ZERO:
            background = np.all(probabilities <= 0, axis=0).astype(np.float32)
        labels = np.argmax([background, *probabilities], axis=0).astype(np.uint8)
        return nibabel.Nifti1Image(labels, self.maps[0].grid().affine)

    @staticmethod
    def _probability(tissue: NiftiVolume) -> np.ndarray:
        probability = tissue.voxels().astype(np.float32)
        # Written to be true of NaN too.
        if not (probability.min() >= -_ROUNDING and probability.max() <= 1 + _ROUNDING):
            raise HermesError(
                f"{tissue.path} holds values from {probability.min():.4g} to {probability.max():.4g}, not probabilities"
            )
        return probability


def find_cases(source: Path, background: str = REST) -> Sequence[SourceCase]:
    """Images with their three maps, anywhere under `source`.

    Args:
        background: rule of the labels, see `TissueMaps`.

    Raises:
        HermesError: there is no image.
    """
    images = files_by_key(source, r"(?:.*/)?(\w+)_img\.nii(?:\.gz)?")
    maps = {tissue: files_by_key(source, rf"(?:.*/)?(\w+)_probmask_{tissue}\.nii(?:\.gz)?") for tissue in _TISSUES}
    if not images:
        raise nothing_found(source, "train/image/dlbs_0028401_img.nii")
    return [
        _case(name, images.get(name), {tissue: paths.get(name) for tissue, paths in maps.items()}, background)
        for name in sorted({*images, *(name for paths in maps.values() for name in paths)})
    ]


def resolve(source: Path, background: Sequence[str] = ()) -> Converter:
    """The converter with a rule for the background."""
    (rule,) = background or (REST,)
    if rule not in (REST, ZERO):
        raise HermesError(f"--background {rule}: choose {REST} or {ZERO}")
    return replace(
        CONVERTER,
        notes=(
            "the paper's lists name cases of DLBS only: those of IXI and SALD need --all-training",
            f"background: {_RULES[rule]}",
        ),
        find_cases=lambda folder: find_cases(folder, rule),
    )


def _case(name: str, image: Path | None, maps: dict[str, Path | None], background: str) -> SourceCase:
    problems = [] if image is not None else ["its image is missing"]
    problems += [f"its map {name}_probmask_{tissue} is missing" for tissue, path in maps.items() if path is None]
    found = tuple(NiftiVolume(path) for path in maps.values() if path is not None)
    return SourceCase(
        name=name,
        images=() if image is None else (NiftiVolume(image),),
        label=TissueMaps(found, background) if len(found) == len(_TISSUES) else None,
        problems=tuple(problems),
    )


CONVERTER = Converter.of_paper(
    "brain_structure",
    title="Brain structure (IXI, DLBS, SALD)",
    cases=None,
    home="https://www.kaggle.com (3D Brain Tissue Segmentation); the images are from "
    "https://brain-development.org/ixi-dataset and https://fcon_1000.projects.nitrc.org (DLBS, SALD)",
    licence="those of the sources: IXI CC BY-SA 3.0, DLBS CC BY-NC 4.0, SALD as on its home page",
    reference="IXI, Imperial College London; DLBS, Park et al.; SALD, Wei et al., Scientific Data 5, 2018",
    release="2022",
    layout=(
        "train/image/dlbs_0028401_img.nii (.nii.gz), valid/..., test/...",
        "train/mask/dlbs_0028401_probmask_graymatter.nii, _probmask_whitematter.nii, _probmask_csf.nii",
    ),
    options=("background",),
    resolve=resolve,
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
