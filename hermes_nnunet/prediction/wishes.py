"""What a prediction writes."""

from dataclasses import dataclass

NIFTI = "nifti"
DICOM_SEG = "dicom_seg"
DICOM_RTSTRUCT = "dicom_rtstruct"
OUTPUT_TYPES = (NIFTI, DICOM_SEG, DICOM_RTSTRUCT)


@dataclass(frozen=True)
class Wishes:
    """What is written for each case.

    Attributes:
        output_type: label maps as NIfTI, or a DICOM object.
        per_task: a NIfTI mask for each task instead of one label map; they may overlap.
        probabilities: an npz file, as of nnU-Net's --save_probabilities.
        preview: a picture.
        statistics: volume and mean intensity of each task.
    """

    output_type: str = NIFTI
    per_task: bool = False
    probabilities: bool = False
    preview: bool = False
    statistics: bool = False
