"""FLARE22: 50 CT images of the abdomen with 13 organs; images for validation are published without labels."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found


def find_cases(source: Path) -> Sequence[SourceCase]:
    """FLARE22_Tr_NNNN_0000.nii.gz with FLARE22_Tr_NNNN.nii.gz, and FLARETs_NNNN_0000.nii.gz, anywhere under `source`.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, r"(?:.*/)?(FLARE22_Tr_\d{4})_0000\.nii(?:\.gz)?")
    labels = files_by_key(source, r"(?:.*/)?(FLARE22_Tr_\d{4})\.nii(?:\.gz)?")
    tests = files_by_key(source, r"(?:.*/)?(FLARETs_\d{4})_0000\.nii(?:\.gz)?")
    if not labels:
        raise nothing_found(source, "labels/FLARE22_Tr_0001.nii.gz")
    return nifti_pairs(images, labels, lambda name: {"name": name}, unlabelled=tests)


CONVERTER = Converter(
    name="flare22",
    title="FLARE22 (Fast and Low-resource Abdominal Organ Segmentation)",
    dataset="FLARE22",
    modalities=("CT",),
    channels=("CT",),
    labels=(
        *("liver", "right_kidney", "spleen", "pancreas", "aorta", "inferior_vena_cava", "right_adrenal_gland"),
        *("left_adrenal_gland", "gallbladder", "esophagus", "stomach", "duodenum", "left_kidney"),
    ),
    cases=50,
    published=tuple(f"FLARE22_Tr_{number:04d}" for number in range(1, 51)),
    home="https://flare22.grand-challenge.org, https://zenodo.org/records/7860267",
    licence="the terms on its home page",
    reference="Ma et al., Unleashing the strengths of unlabelled data in deep learning-assisted pan-cancer abdominal "
    "organ quantification: the FLARE22 challenge, The Lancet Digital Health 6(11), 2024",
    release="2022",
    layout=("FLARE22Train/images/FLARE22_Tr_0001_0000.nii.gz, FLARE22Train/labels/FLARE22_Tr_0001.nii.gz",),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
