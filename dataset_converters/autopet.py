"""autoPET, FDG-PET-CT-Lesions: 1014 whole-body PET/CT studies of 900 patients, half of them with lesions."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, NiftiVolume, SourceCase, files_by_key, nothing_found


def find_cases(source: Path) -> Sequence[SourceCase]:
    """Every study, named by patient and its number among the patient's studies, counted from 0.

    The studies are numbered by their folders' names. (The paper numbered them as its disk happened to list them.)

    Raises:
        HermesError: there is no study.
    """
    files = files_by_key(source, r"(?:.*/)?(PETCT_\w+/[^/]+/(?:SUV|SEG))\.nii\.gz")
    studies = sorted({(path.parent.parent.name, path.parent) for path in files.values()})
    if not studies:
        raise nothing_found(source, "PETCT_0011f3deaf/<study>/SUV.nii.gz")
    return [
        SourceCase(
            name=f"{patient}_{number}",
            images=(NiftiVolume(study / "SUV.nii.gz"), NiftiVolume(study / "CTres.nii.gz")),
            label=NiftiVolume(study / "SEG.nii.gz"),
            patient=patient,
        )
        for patient, own in groupby(studies, key=lambda item: item[0])
        for number, (_, study) in enumerate(own)
    ]


CONVERTER = Converter.of_paper(
    "autopet",
    title="autoPET (FDG-PET-CT-Lesions)",
    channels=("PET", "CT"),
    default_channels=("PET",),
    may_be_empty=True,
    cases=1014,
    home="https://doi.org/10.7937/gkr0-xv29, https://fdat.uni-tuebingen.de/records/wf9fy-txq84",
    licence="the terms on its home page",
    reference="Gatidis et al., A whole-body FDG-PET/CT dataset with manually annotated tumor lesions, Scientific Data "
    "9, 2022",
    release="2022",
    layout=("PETCT_0011f3deaf/<study>/SUV.nii.gz, SEG.nii.gz (and CTres.nii.gz for --channels PET CT)",),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
