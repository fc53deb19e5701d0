"""TotalSegmentator v2: 1228 CT images of all parts of the body, with a mask for each of 117 structures."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.core.paper.case_lists import CaseLists
from hermes_nnunet.data.conversion import (
    Converter,
    Grid,
    NiftiVolume,
    SourceCase,
    Volume,
    compare_grids,
    files_by_key,
    nothing_found,
)
from hermes_nnunet.errors import HermesError

_TABLE = "meta.csv"
_SOFT_PARTS = """
        spleen kidney_right kidney_left gallbladder liver stomach pancreas adrenal_gland_right adrenal_gland_left
        lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right
        esophagus trachea thyroid_gland small_bowel duodenum colon urinary_bladder prostate kidney_cyst_left
        kidney_cyst_right sacrum vertebrae_S1
"""
_VERTEBRAE = [
    f"vertebrae_{part}{number}" for part, most in (("L", 5), ("T", 12), ("C", 7)) for number in range(most, 0, -1)
]
_OTHERS = """
        heart aorta pulmonary_vein brachiocephalic_trunk subclavian_artery_right subclavian_artery_left
        common_carotid_artery_right common_carotid_artery_left brachiocephalic_vein_left brachiocephalic_vein_right
        atrial_appendage_left superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein iliac_artery_left
        iliac_artery_right iliac_vena_left iliac_vena_right humerus_left humerus_right scapula_left scapula_right
        clavicula_left clavicula_right femur_left femur_right hip_left hip_right spinal_cord gluteus_maximus_left
        gluteus_maximus_right gluteus_medius_left gluteus_medius_right gluteus_minimus_left gluteus_minimus_right
        autochthon_left autochthon_right iliopsoas_left iliopsoas_right brain skull
"""
_RIBS = [f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)]
# In the order of the values of TotalSegmentator's own label maps.
STRUCTURES = (*_SOFT_PARTS.split(), *_VERTEBRAE, *_OTHERS.split(), *_RIBS, "sternum", "costal_cartilages")


@dataclass(frozen=True)
class StructureMasks(Volume):
    """One label map of a folder of masks, values in the order of STRUCTURES; where masks overlap, the later wins."""

    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"{name}.nii.gz" for name in STRUCTURES)

    def grid(self) -> Grid:
        return NiftiVolume(self.files[0]).grid()

    def read(self) -> nibabel.Nifti1Image:
        grid = self.grid()
        labels = np.zeros(grid.shape, np.uint8)
        for value, path in enumerate(self.files, start=1):
            mask = NiftiVolume(path)
            _, problem = compare_grids(grid, mask.grid())
            if problem is not None:
                raise HermesError(f"{path} {problem} {self.files[0]}")
            labels[mask.voxels() > 0] = value
        return nibabel.Nifti1Image(labels, grid.affine)


def find_cases(source: Path) -> Sequence[SourceCase]:
    """sNNNN/ct.nii.gz with the masks in sNNNN/segmentations, anywhere under `source`.

    Raises:
        HermesError: there is none, or it is the first release, which has other structures.
    """
    images = files_by_key(source, r"(?:.*/)?(s\d{4})/ct\.nii\.gz")
    if not images:
        raise nothing_found(source, "s0000/ct.nii.gz")
    first_release = min(images.values()).parent / "segmentations" / "heart_myocardium.nii.gz"
    if first_release.exists():
        raise HermesError(f"{first_release} is of TotalSegmentator v1, with 104 structures: download v2 (2.0.1)")
    return [
        SourceCase(name=name, images=(NiftiVolume(path),), label=StructureMasks(path.parent / "segmentations"))
        for name, path in images.items()
    ]


def resolve(source: Path) -> Converter:
    """The converter with the lists of the set's table.

    Raises:
        HermesError: the table is not there, or has not the columns image_id and split.
    """
    tables = files_by_key(source, rf"(?:.*/)?({_TABLE})")
    if not tables:
        raise HermesError(f"{source} holds no {_TABLE}, which says what is for testing: give the folder that holds it")
    with open(tables[_TABLE], newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, delimiter=";")
        rows = list(table) if {"image_id", "split"} <= {*(table.fieldnames or ())} else []
    if not rows:
        raise HermesError(f"{tables[_TABLE]} has no lines with the columns image_id and split: download it again")
    parts = {part: tuple(row["image_id"] for row in rows if row["split"] == part) for part in ("train", "val", "test")}
    return replace(CONVERTER, lists=CaseLists(**parts), cases=len(rows))


CONVERTER = Converter(
    name="totalsegmentator",
    title="TotalSegmentator v2, CT",
    dataset="TotalSegmentator",
    modalities=("CT",),
    channels=("CT",),
    labels=STRUCTURES,
    # Some images show a part of the body without any of the structures.
    may_be_empty=True,
    cases=1228,
    home="https://zenodo.org/records/10047292",
    licence="CC BY 4.0",
    reference="Wasserthal et al., TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT Images, "
    "Radiology: Artificial Intelligence 5(5), 2023",
    release="2.0.1",
    layout=("meta.csv", "s0000/ct.nii.gz, s0000/segmentations/adrenal_gland_left.nii.gz and 116 more"),
    resolve=resolve,
    find_cases=find_cases,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
