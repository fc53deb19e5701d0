"""BTCV, "Multi-Atlas Labeling Beyond the Cranial Vault", abdomen: 30 CT images with 13 organs."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found

# 20 images are published for testing, without labels: 0061 to 0080.
_FIRST_TEST = 61


def find_cases(source: Path) -> Sequence[SourceCase]:
    """imgNNNN.nii.gz and labelNNNN.nii.gz, anywhere under `source`, as folders of Synapse are named differently.

    Raises:
        HermesError: there is none.
    """
    images = files_by_key(source, r"(?:.*/)?img(\d{4})\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?label(\d{4})\.nii\.gz")
    if not labels:
        raise nothing_found(source, "label/label0001.nii.gz")
    tests = {number: path for number, path in images.items() if int(number) >= _FIRST_TEST and number not in labels}
    return nifti_pairs(
        {number: path for number, path in images.items() if number not in tests},
        labels,
        lambda number: {"name": f"img{number}"},
        unlabelled=tests,
    )


CONVERTER = Converter.of_paper(
    "bcv",
    title="BTCV abdomen (Multi-Atlas Labeling Beyond the Cranial Vault)",
    cases=30,
    home="https://www.synapse.org/Synapse:syn3193805",
    licence="CC BY 4.0",
    reference="Landman et al., MICCAI Multi-Atlas Labeling Beyond the Cranial Vault - Workshop and Challenge, 2015",
    release="2015",
    layout=(
        "RawData/Training/img/img0001.nii.gz, RawData/Training/label/label0001.nii.gz",
        "RawData/Testing/img/img0061.nii.gz",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
