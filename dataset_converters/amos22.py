"""AMOS22 as it is released: CT and MR images with 15 organs in one data set, its validation part as fold 0."""

from dataclasses import replace
from pathlib import Path

from hermes_nnunet.data.conversion import Converter, lists_of_folders
from hermes_nnunet.data.conversion.amos import AMOS_FACTS, AMOS_ORGANS, find_amos


def resolve(source: Path) -> Converter:
    """The converter with the set's own lists, which are its folders."""
    cases = find_amos(source)
    lists = lists_of_folders(cases, train="imagesTr", val="imagesVa", test="imagesTs")
    return replace(CONVERTER, lists=lists, find_cases=lambda _: cases)


CONVERTER = Converter(
    name="amos22",
    title="AMOS22, CT and MR in one",
    dataset="AMOS22",
    modalities=("CT", "MRI"),
    channels=("image",),
    labels=AMOS_ORGANS,
    cases=360,
    notes=(
        "CT and MR lie in one data set; a merge file tells them apart by modality: "
        "{CT: '^amos_0[0-4]', MRI: '^amos_0[5-9]'}",
    ),
    resolve=resolve,
    find_cases=find_amos,
    **AMOS_FACTS,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
