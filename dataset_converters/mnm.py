"""M&Ms: short-axis cine MRI of four vendors, 320 patients of which are labelled at end-diastole and end-systole."""

import csv
from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, NiftiVolume, SourceCase, files_by_key, nothing_found
from hermes_nnunet.errors import HermesError

_PHASES = ("ED", "ES")
_CODE = "External code"


def find_cases(source: Path) -> Sequence[SourceCase]:
    """The two labelled phases of every patient, in all of the set's own parts.

    Raises:
        HermesError: there is no image, or not one table of the phases.
    """
    images = files_by_key(source, r"(?:.*/)?([A-Z0-9]+)_sa\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?([A-Z0-9]+)_sa_gt\.nii\.gz")
    # 25 patients of one vendor are published for training without labels.
    images = {patient: path for patient, path in images.items() if "Unlabeled" not in path.parts}
    if not images:
        raise nothing_found(source, "Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz")
    frames = _read_frames(source)
    return [
        _case(patient, phase, images.get(patient), labels.get(patient), frames.get(patient))
        for patient in sorted({*images, *labels})
        for phase in _PHASES
    ]


def _case(
    patient: str, phase: str, image: Path | None, label: Path | None, frames: dict[str, int] | None
) -> SourceCase:
    problems = []
    if image is None:
        problems.append(f"{label} has no image beside it")
    if label is None:
        problems.append(f"{image} has no label beside it")
    if frames is None:
        problems.append("the set's table (*.csv) has no line with its frames ED and ES")
    frame = 0 if frames is None else frames[phase]
    return SourceCase(
        name=f"{patient}_{phase}",
        images=() if image is None else (NiftiVolume(image, frame),),
        label=None if label is None else NiftiVolume(label, frame),
        patient=patient,
        listed_as=patient,
        problems=tuple(problems),
    )


def _read_frames(source: Path) -> dict[str, dict[str, int]]:
    """Patient -> phase -> index of the frame, counted from 0, for the patients whose line has both."""
    tables = {path: rows for path in sorted(source.rglob("*.csv")) if (rows := _rows(path))}
    if len(tables) != 1:
        found = ", ".join(map(str, tables)) or "none"
        raise HermesError(
            f"{source} must hold the set's one table with the columns '{_CODE}', ED and ES (*.csv), found {found}: "
            "give the folder that holds it and Training, Validation, Testing"
        )
    (rows,) = tables.values()
    return {
        row[_CODE].strip(): {phase: int(row[phase]) for phase in _PHASES}
        for row in rows
        if all((row[phase] or "").strip().isdecimal() for phase in _PHASES)
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        table = csv.DictReader(file)
        return list(table) if {_CODE, *_PHASES} <= {*(table.fieldnames or ())} else []


CONVERTER = Converter.of_paper(
    "mnm",
    title="M&Ms (Multi-Centre, Multi-Vendor & Multi-Disease Cardiac Image Segmentation)",
    cases=320,
    home="https://www.ub.edu/mnms",
    licence="the terms on its home page",
    reference="Campello et al., Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms "
    "Challenge, IEEE Transactions on Medical Imaging 40(12), 2021",
    release="2020",
    layout=(
        "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv",
        "Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz, A0S9V9_sa_gt.nii.gz",
        "Validation/..., Testing/...",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
