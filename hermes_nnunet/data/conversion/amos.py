"""Cases of AMOS22, whose folders hold CT and MR images side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hermes_nnunet.data.conversion.converter import SourceCase, nothing_found
from hermes_nnunet.data.conversion.finding import files_by_key, nifti_pairs

# "id numbers less than 500 belong to CT data" (readme of the data set)
_FIRST_MR = 500

AMOS_ORGANS = (
    *("spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach", "aorta", "postcava"),
    *("pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum", "bladder", "prostate_or_uterus"),
)


def is_ct(number: str) -> bool:
    """Whether the image of this id is a CT."""
    return int(number) < _FIRST_MR


def find_amos(source: Path, wanted: Callable[[str], bool] = lambda _: True) -> Sequence[SourceCase]:
    """The cases whose id is `wanted`; those of imagesTs are published without label.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, r"(?:.*/)?images(?:Tr|Va)/amos_(\d{4})\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?labels(?:Tr|Va)/amos_(\d{4})\.nii\.gz")
    tests = files_by_key(source, r"(?:.*/)?imagesTs/amos_(\d{4})\.nii\.gz")
    images, labels, tests = (
        {number: path for number, path in files.items() if wanted(number)} for files in (images, labels, tests)
    )
    if not images:
        raise nothing_found(source, "imagesTr/amos_NNNN.nii.gz of this modality")
    return nifti_pairs(
        images,
        labels,
        unlabelled=tests,
        describe=lambda number: {"name": f"amos_{number}", "listed_as": str(int(number))},
    )


AMOS_FACTS: dict[str, Any] = {
    "home": "https://zenodo.org/records/7262581 (amos22.zip)",
    "licence": "CC BY-NC-SA 4.0 (as the publication says)",
    "reference": "Ji et al., AMOS: A Large-Scale Abdominal Multi-Organ Benchmark for Versatile Medical Image "
    "Segmentation, NeurIPS Datasets and Benchmarks 2022",
    "release": "2022",
    "layout": (
        "imagesTr/amos_0001.nii.gz, labelsTr/amos_0001.nii.gz (ids of 500 and more are MR)",
        "imagesVa/amos_0008.nii.gz, labelsVa/amos_0008.nii.gz",
    ),
}
