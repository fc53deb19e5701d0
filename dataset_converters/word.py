"""WORD, the Whole abdominal ORgan Dataset: 150 CT images with 16 organs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hermes_nnunet.data.conversion import (
    Converter,
    SourceCase,
    files_by_key,
    lists_of_folders,
    nifti_pairs,
    nothing_found,
)

_PARTS = ("Tr", "Val", "Ts")


def find_cases(source: Path) -> Sequence[SourceCase]:
    """Cases of the three folders imagesTr, imagesVal and imagesTs, anywhere under `source`.

    The labels of the last are a download of their own.

    Raises:
        HermesError: there is none.
    """
    cases = []
    for part in _PARTS:
        images = files_by_key(source, rf"(?:.*/)?images{part}/(word_\d{{4}})\.nii\.gz")
        labels = files_by_key(source, rf"(?:.*/)?labels{part}/(word_\d{{4}})\.nii\.gz")
        tests = {name: path for name, path in images.items() if part == "Ts" and name not in labels}
        images = {name: path for name, path in images.items() if name not in tests}
        cases += nifti_pairs(images, labels, lambda name: {"name": name}, unlabelled=tests)
    if not any(case.label for case in cases):
        raise nothing_found(source, "labelsTr/word_0002.nii.gz")
    return cases


def resolve(source: Path) -> Converter:
    """The converter with the set's own lists, which are its folders."""
    cases = find_cases(source)
    lists = lists_of_folders(cases, train="imagesTr", val="imagesVal", test="imagesTs")
    return replace(CONVERTER, lists=lists, find_cases=lambda _: cases)


CONVERTER = Converter(
    name="word",
    title="WORD (Whole abdominal ORgan Dataset)",
    dataset="WORD",
    modalities=("CT",),
    channels=("CT",),
    labels=(
        *("liver", "spleen", "left_kidney", "right_kidney", "stomach", "gallbladder", "esophagus", "pancreas"),
        *("duodenum", "colon", "intestine", "adrenal_gland", "rectum", "bladder", "left_head_of_femur"),
        "right_head_of_femur",
    ),
    cases=150,
    home="https://github.com/HiLab-git/WORD",
    licence="the terms on its home page",
    reference="Luo et al., WORD: A large scale dataset, benchmark and clinical applicable study for abdominal organ "
    "segmentation from CT image, Medical Image Analysis 82, 2022",
    release="0.1.0",
    layout=(
        "WORD-V0.1.0/imagesTr/word_0002.nii.gz, WORD-V0.1.0/labelsTr/word_0002.nii.gz",
        "WORD-V0.1.0/imagesVal/..., labelsVal/..., imagesTs/..., labelsTs/...",
    ),
    resolve=resolve,
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
