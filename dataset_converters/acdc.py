"""ACDC: short-axis cine MRI of 150 patients, labelled at end-diastole and end-systole."""

import re
from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.core.paper.case_lists import CaseLists
from hermes_nnunet.data.conversion import Converter, NiftiVolume, SourceCase, nothing_found

_PHASES = ("ED", "ES")
_FIRST_TEST = 101


def find_cases(source: Path) -> Sequence[SourceCase]:
    """The two labelled frames of every folder patientNNN, which its Info.cfg tells.

    Raises:
        HermesError: there is no patient.
    """
    patients = sorted(path for path in source.rglob("patient*") if re.fullmatch(r"patient\d{3}", path.name))
    if not patients:
        raise nothing_found(source, "training/patient001/patient001_frame01.nii.gz")
    return [_case(patient, phase) for patient in patients for phase in _PHASES]


def _case(patient: Path, phase: str) -> SourceCase:
    frame = _frames(patient / "Info.cfg").get(phase)
    stem = f"{patient.name}_frame{frame or 0:02d}"
    label = patient / f"{stem}_gt.nii.gz"
    # The first release had no labels for testing.
    is_test = int(patient.name.removeprefix("patient")) >= _FIRST_TEST
    return SourceCase(
        name=f"{patient.name}_{phase}",
        images=(NiftiVolume(patient / f"{stem}.nii.gz"),),
        label=None if is_test and not label.exists() else NiftiVolume(label),
        patient=patient.name,
        listed_as=patient.name,
        problems=() if frame is not None else (f"{patient / 'Info.cfg'} does not say which frame {phase} is",),
    )


def _frames(path: Path) -> dict[str, int]:
    text = path.read_text(errors="replace") if path.is_file() else ""
    return {phase: int(frame) for phase, frame in re.findall(r"^(ED|ES):\s*(\d+)\s*$", text, re.MULTILINE)}


CONVERTER = Converter(
    name="acdc",
    title="ACDC (Automated Cardiac Diagnosis Challenge)",
    dataset="ACDC",
    modalities=("cineMRI",),
    channels=("cineMRI",),
    labels=("right_ventricle", "myocardium", "left_ventricle"),
    # The set's own test part; it names no validation part.
    lists=CaseLists(
        train=tuple(f"patient{number:03d}" for number in range(1, _FIRST_TEST)),
        val=(),
        test=tuple(f"patient{number:03d}" for number in range(_FIRST_TEST, 151)),
    ),
    cases=150,
    home="https://www.creatis.insa-lyon.fr/Challenge/acdc",
    licence="CC BY-NC-SA 4.0",
    reference="Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation and "
    "Diagnosis: Is the Problem Solved?, IEEE Transactions on Medical Imaging 37(11), 2018",
    release="2017",
    layout=(
        "training/patient001/Info.cfg, patient001_frame01.nii.gz, patient001_frame01_gt.nii.gz",
        "testing/patient101/...",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
