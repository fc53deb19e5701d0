"""KiTS23 (and KiTS21): CT images with kidneys, their tumours and their cysts."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found


def find_cases(source: Path) -> Sequence[SourceCase]:
    """case_NNNNN/imaging.nii.gz with segmentation.nii.gz, or with the majority vote of KiTS21, anywhere under `source`.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, r"(?:.*/)?case_(\d{5})/imaging\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?case_(\d{5})/(?:segmentation|aggregated_MAJ_seg)\.nii\.gz")
    if not labels:
        raise nothing_found(source, "case_00000/segmentation.nii.gz")
    return nifti_pairs(images, labels, lambda number: {"name": f"case_{number}"})


CONVERTER = Converter(
    name="kits23",
    title="KiTS23",
    dataset="KiTS23",
    modalities=("CT",),
    channels=("CT",),
    labels=("kidney", "tumor", "cyst"),
    cases=489,
    published=tuple(f"case_{number:05d}" for number in (*range(300), *range(400, 589))),
    home="https://github.com/neheller/kits23",
    licence="CC BY-NC-SA 4.0",
    reference="Heller et al., The KiTS21 Challenge: Automatic segmentation of kidneys, renal tumors, and renal cysts "
    "in corticomedullary-phase CT, arXiv:2307.01984",
    release="2023",
    layout=(
        "dataset/case_00000/imaging.nii.gz, dataset/case_00000/segmentation.nii.gz",
        "data/case_00000/imaging.nii.gz, data/case_00000/aggregated_MAJ_seg.nii.gz (KiTS21)",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
