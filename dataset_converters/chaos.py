"""CHAOS, the MR part: abdomen of 20 healthy persons, T1-DUAL in and out of phase and T2-SPIR, with four organs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.data.conversion import Converter, Grid, SourceCase, Volume, nothing_found
from hermes_nnunet.data.dicom.volume import DicomVolume, nifti
from hermes_nnunet.errors import HermesError

# The set's instructions give a grey value for each organ, and bounds that it keeps.
_GREY_VALUES = {63: (55, 70), 126: (110, 135), 189: (175, 200), 252: (240, 255)}
_TEST_FOLDER = "Test_Sets"


@dataclass(frozen=True)
class PngMasks(Volume):
    """Masks as PNG, one for each slice of a series and called like it, so each lies where that slice lies."""

    folder: Path
    series: DicomVolume

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._mask(path) for path in self.series.paths)

    def grid(self) -> Grid:
        return self.series.grid()

    def read(self) -> nibabel.Nifti1Image:
        masks = [self._read_mask(self._mask(item.path), item.shape) for item in self.series.slices()]
        # A mask's rows and columns are those of its slice: y and x.
        return nifti(np.stack(masks).transpose(2, 1, 0), self.grid())

    def _mask(self, path: Path) -> Path:
        return self.folder / f"{path.stem}.png"

    @staticmethod
    def _read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
        import SimpleITK

        try:
            mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        except RuntimeError:
            raise HermesError(f"{path} cannot be read as PNG") from None
        if mask.shape != shape:
            raise HermesError(f"{path} has {mask.shape} grey pixels, its slice {shape}")
        for value, (low, high) in _GREY_VALUES.items():
            mask[(mask > low) & (mask < high)] = value
        return mask


def find_cases(source: Path) -> Sequence[SourceCase]:
    """Three images of every patient in <set>/MR/<patient>, wherever that lies under `source`.

    Raises:
        HermesError: there is no patient.
    """
    patients = sorted({folder.parent for name in ("T1DUAL", "T2SPIR") for folder in source.rglob(name)})
    patients = [patient for patient in patients if patient.name.isdecimal()]
    if not patients:
        raise nothing_found(source, "MR/1/T1DUAL and MR/1/T2SPIR")
    return [case for patient in patients for case in _cases_of(patient)]


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files without those that macOS leaves in archives (._IMG-0004-00002.dcm)."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _cases_of(patient: Path) -> list[SourceCase]:
    in_phase, out_phase, t2 = (
        tuple(_visible(patient / folder, "*.dcm"))
        for folder in ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/DICOM_anon/OutPhase", "T2SPIR/DICOM_anon")
    )
    # The masks are called like the slices of one phase, and are for both.
    masks = {mask.stem for mask in _visible(patient / "T1DUAL/Ground", "*.png")}
    labelled = max((in_phase, out_phase), key=lambda slices: sum(path.stem in masks for path in slices))
    return [
        _case(patient, "T1DUAL", "t1in", in_phase, labelled),
        _case(patient, "T1DUAL", "t1out", out_phase, labelled),
        _case(patient, "T2SPIR", "t2", t2, t2),
    ]


def _case(
    patient: Path, sequence: str, suffix: str, slices: tuple[Path, ...], labelled: tuple[Path, ...]
) -> SourceCase:
    """An image, with the masks that are called like the slices of `labelled`."""
    problems = []
    label = None
    if not slices or not labelled:
        problems.append(f"{patient / sequence} has no slices (*.dcm) for it")
    elif _TEST_FOLDER not in patient.parts:
        label = PngMasks(patient / sequence / "Ground", DicomVolume(labelled))
        surplus = {*_visible(label.folder, "*.png")} - {*label.files}
        if surplus:
            problems.append(f"{min(surplus)} is a mask without a slice of its name")
    return SourceCase(
        name=f"{patient.name}_{suffix}",
        images=(DicomVolume(slices),) if slices else (),
        label=label,
        patient=patient.name,
        listed_as=patient.name,
        problems=tuple(problems),
    )


CONVERTER = Converter.of_paper(
    "chaos",
    title="CHAOS (Combined Healthy Abdominal Organ Segmentation), MR",
    channels=("MR",),
    values=dict(zip(_GREY_VALUES, ("liver", "right_kidney", "left_kidney", "spleen"), strict=True)),
    cases=20,
    home="https://chaos.grand-challenge.org, https://doi.org/10.5281/zenodo.3431873",
    licence="CC BY-NC-SA 4.0",
    reference="Kavur et al., CHAOS Challenge - combined (CT-MR) healthy abdominal organ segmentation, Medical Image "
    "Analysis 69, 2021",
    release="2019",
    layout=(
        "Train_Sets/MR/1/T1DUAL/DICOM_anon/InPhase/IMG-0004-00002.dcm, OutPhase/IMG-0004-00001.dcm",
        "Train_Sets/MR/1/T1DUAL/Ground/IMG-0004-00002.png",
        "Train_Sets/MR/1/T2SPIR/DICOM_anon/IMG-0002-00001.dcm, Ground/IMG-0002-00001.png",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
