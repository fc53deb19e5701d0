"""autoPET III: 1014 FDG and 597 PSMA whole-body PET/CT studies with tumour lesions."""

import re
from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, NiftiVolume, SourceCase, files_by_key, nothing_found

_CT, _PET = "0000", "0001"


def find_cases(source: Path) -> Sequence[SourceCase]:
    """imagesTr/TRACER_PATIENT_STUDY_0000.nii.gz (CT) and _0001.nii.gz (PET) with labelsTr/TRACER_PATIENT_STUDY.nii.gz.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, rf"(?:.*/)?imagesTr/((?:fdg|psma)_.+_(?:{_CT}|{_PET}))\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?labelsTr/((?:fdg|psma)_.+)\.nii\.gz")
    if not labels:
        raise nothing_found(source, "labelsTr/fdg_0011f3deaf_<study>.nii.gz")
    studies = sorted({*labels, *(name.rpartition("_")[0] for name in images)})
    return [_case(study, images, labels.get(study)) for study in studies]


def _case(study: str, images: dict[str, Path], label: Path | None) -> SourceCase:
    channels = [images.get(f"{study}_{number}") for number in (_PET, _CT)]
    problems = [
        f"{study} has no {what}"
        for what, path in zip(("PET (_0001)", "CT (_0000)", "label"), (*channels, label), strict=True)
        if path is None
    ]
    return SourceCase(
        # Names of studies hold blanks.
        name=re.sub(r"[^A-Za-z0-9._+-]+", "-", study),
        images=() if None in channels else tuple(NiftiVolume(path) for path in channels if path is not None),
        label=None if label is None else NiftiVolume(label),
        patient="_".join(study.split("_")[:2]),
        problems=tuple(problems),
    )


CONVERTER = Converter(
    name="autopet3",
    title="autoPET III (PSMA-FDG-PET-CT-Lesions)",
    dataset="autoPET_III",
    modalities=("PET",),
    channels=("PET", "CT"),
    default_channels=("PET",),
    labels=("lesion",),
    may_be_empty=True,
    cases=1611,
    home="https://fdat.uni-tuebingen.de/records/6gjsg-zcg93, https://autopet-iii.grand-challenge.org",
    licence="the terms on its home page",
    reference="Gatidis et al., A whole-body FDG-PET/CT dataset with manually annotated tumor lesions, Scientific Data "
    "9, 2022; Jeblick et al., A large annotated whole-body PSMA-PET-CT dataset, The Cancer Imaging Archive, 2024",
    release="2024",
    layout=(
        "imagesTr/fdg_0011f3deaf_<study>_0001.nii.gz, labelsTr/fdg_0011f3deaf_<study>.nii.gz",
        "imagesTr/fdg_0011f3deaf_<study>_0000.nii.gz (for --channels PET CT)",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
