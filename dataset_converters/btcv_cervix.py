"""BTCV cervix, "Multi-Atlas Labeling Beyond the Cranial Vault": 30 CT images of the pelvis with four organs."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found

_TEST_FOLDER = "Testing"


def find_cases(source: Path) -> Sequence[SourceCase]:
    """N-Image.nii.gz and N-Mask.nii.gz, anywhere under `source`; images of a folder Testing have no mask.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, r"(?:.*/)?([\w-]+)-Image\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?([\w-]+)-Mask\.nii\.gz")
    if not labels:
        raise nothing_found(source, "Training/label/0507688-Mask.nii.gz")
    tests = {name: path for name, path in images.items() if _TEST_FOLDER in path.parts and name not in labels}
    return nifti_pairs(
        {name: path for name, path in images.items() if name not in tests},
        labels,
        lambda name: {"name": f"cervix_{name}"},
        unlabelled=tests,
    )


CONVERTER = Converter(
    name="btcv_cervix",
    title="BTCV cervix (Multi-Atlas Labeling Beyond the Cranial Vault)",
    dataset="BTCV_Cervix",
    modalities=("CT",),
    channels=("CT",),
    labels=("bladder", "uterus", "rectum", "small_bowel"),
    cases=30,
    home="https://www.synapse.org/Synapse:syn3378972",
    licence="CC BY 4.0",
    reference="Landman et al., MICCAI Multi-Atlas Labeling Beyond the Cranial Vault - Workshop and Challenge, 2015",
    release="2015",
    layout=(
        "RawData/Training/img/0507688-Image.nii.gz, RawData/Training/label/0507688-Mask.nii.gz",
        "RawData/Testing/img/...",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
