"""KiTS19: 210 CT images with kidneys and their tumours, and 90 for testing without labels."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found
from hermes_nnunet.errors import HermesError

_FIRST_TEST = 210


def find_cases(source: Path) -> Sequence[SourceCase]:
    """case_NNNNN/imaging.nii.gz and case_NNNNN/segmentation.nii.gz, anywhere under `source`.

    Raises:
        HermesError: there is none, or it is a later release.
    """
    images = files_by_key(source, r"(?:.*/)?case_(\d{5})/imaging\.nii\.gz")
    labels = files_by_key(source, r"(?:.*/)?case_(\d{5})/segmentation\.nii\.gz")
    later = files_by_key(source, r"(?:.*/)?(case_\d{5}/(?:aggregated_MAJ_seg\.nii\.gz|instances/.+))")
    later |= {number: path for number, path in labels.items() if int(number) >= _FIRST_TEST}
    if later:
        raise HermesError(
            f"{min(later.values())} is of KiTS21 or KiTS23, which label cysts too: use 'hermes_nnunet convert kits23'"
        )
    if not labels:
        raise nothing_found(source, "case_00000/segmentation.nii.gz")
    tests = {number: path for number, path in images.items() if int(number) >= _FIRST_TEST and number not in labels}
    return nifti_pairs(
        {number: path for number, path in images.items() if number not in tests},
        labels,
        lambda number: {"name": f"case_{number}", "listed_as": str(int(number))},
        unlabelled=tests,
    )


CONVERTER = Converter.of_paper(
    "kits",
    title="KiTS19",
    cases=210,
    home="https://github.com/neheller/kits19",
    licence="CC BY-NC-SA 4.0",
    reference="Heller et al., The KiTS19 Challenge Data, arXiv:1904.00445",
    release="2019",
    layout=("data/case_00000/imaging.nii.gz, data/case_00000/segmentation.nii.gz",),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
