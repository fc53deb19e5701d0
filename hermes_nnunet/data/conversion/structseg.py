"""Cases of the tasks of StructSeg 2019, each in a folder of its own with the same file names."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.data.conversion.converter import SourceCase, nothing_found
from hermes_nnunet.data.conversion.finding import files_by_key, nifti_pairs


def find_structseg(source: Path, task: str) -> Sequence[SourceCase]:
    """Cases in the folder `task`, which `source` is or holds: the other tasks' files have the same names.

    Archives unpack to a folder in one of the same name, and files may be uncompressed.

    Raises:
        HermesError: there is none.
    """
    prefix = rf"(?:.*/)?{task}/"
    if source.resolve().name == task:
        prefix = f"(?:{prefix})?"
    images, labels = (files_by_key(source, rf"{prefix}(\d+)/{name}\.nii(?:\.gz)?") for name in ("data", "label"))
    if not labels:
        raise nothing_found(source, f"{task}/1/label.nii.gz")
    return nifti_pairs(
        images, labels, describe=lambda number: {"name": f"{task}_{int(number):02d}", "listed_as": number}
    )


STRUCTSEG_FACTS = {
    "home": "https://structseg2019.grand-challenge.org",
    "licence": "terms of the challenge, after registration",
    "reference": "Automatic Structure Segmentation for Radiotherapy Planning Challenge, MICCAI 2019",
    "release": "2019",
}
