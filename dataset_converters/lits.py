"""LiTS: 131 CT images with liver and tumours, and 70 for testing without labels."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, SourceCase, files_by_key, nifti_pairs, nothing_found


def find_cases(source: Path) -> Sequence[SourceCase]:
    """volume-N.nii and segmentation-N.nii, anywhere under `source`, since they come in batches.

    Raises:
        HermesError: there is none.
    """
    images, labels, tests = (
        files_by_key(source, rf"(?:.*/)?{name}-(\d+)\.nii(?:\.gz)?")
        for name in ("volume", "segmentation", "test-volume")
    )
    if not labels:
        raise nothing_found(source, "segmentation-0.nii")
    return [
        *nifti_pairs(
            images,
            labels,
            # Some segmentations are published with another header than their volume.
            lambda number: {"name": f"volume-{number}", "listed_as": number, "label_on_image": True},
        ),
        *nifti_pairs({}, {}, lambda number: {"name": f"test-volume-{number}"}, unlabelled=tests),
    ]


CONVERTER = Converter.of_paper(
    "lits",
    title="LiTS, the Liver Tumor Segmentation Benchmark",
    cases=131,
    home="https://competitions.codalab.org/competitions/17094",
    licence="CC BY-NC-ND 4.0",
    reference="Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image Analysis 84, 2023",
    release="2017",
    layout=(
        "Training Batch 1/volume-0.nii, Training Batch 1/segmentation-0.nii",
        "Training Batch 2/volume-28.nii, Training Batch 2/segmentation-28.nii",
    ),
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
