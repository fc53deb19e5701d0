"""What a prediction writes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DicomObject:
    """What a segmentation of a DICOM series can be written as.

    Attributes:
        ending: of its files, after the name of the case.
        package: what pip installs to write it.
        writer: module with `write`, which is imported when it is used.
    """

    ending: str
    package: str
    writer: str


DICOM_OBJECTS = {
    "dicom_seg": DicomObject("_seg.dcm", "highdicom", "hermes_nnunet.prediction.dicom_seg"),
    "dicom_rtstruct": DicomObject("_rtstruct.dcm", "rt-utils", "hermes_nnunet.prediction.dicom_rtstruct"),
}
NIFTI = "nifti"
SEG_NRRD = "seg_nrrd"
SEG_NRRD_ENDING = ".seg.nrrd"
OUTPUT_TYPES = (NIFTI, SEG_NRRD, *DICOM_OBJECTS)


@dataclass(frozen=True)
class Wishes:
    """What is written for each case.

    Attributes:
        output_type: label maps as NIfTI, segmentations of 3D Slicer, or one of DICOM_OBJECTS.
        per_task: a NIfTI mask for each task instead of one label map; they may overlap.
        probabilities: an npz file, as of nnU-Net's --save_probabilities.
        preview: a picture.
        viewer: a page for browsers.
        statistics: volume and mean intensity of each task.
    """

    output_type: str = NIFTI
    per_task: bool = False
    probabilities: bool = False
    preview: bool = False
    viewer: bool = False
    statistics: bool = False
