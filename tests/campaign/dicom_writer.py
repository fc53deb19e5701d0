"""Small DICOM series, with label objects, as scanners and treatment planning write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, generate_uid

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
# Rows run towards the left and a little to the back, columns to the feet: coronal, and turned in every plane.
OBLIQUE = ((0.96, 0.28, 0.0), (-0.0672, 0.2304, -0.9707728879))
STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": "1.2.840.10008.5.1.4.1.1.128", "OT": CTImageStorage}


def empty_file(path: Path, storage: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = modality
    return dataset


class DicomWriter:
    """Writes files whose names tell nothing of their order."""

    def series(
        self,
        folder: Path,
        voxels: np.ndarray,
        *,
        orientation: Sequence[Sequence[float]] = AXIAL,
        position: Sequence[float] = (-20.0, -30.0, 40.0),
        spacing: Sequence[float] = (2.0, 1.5),
        step: float = 3.0,
        names: Sequence[str] | None = None,
        uid: str = "1.2.3",
        frame: str = "1.2.4",
        patient: str = "p1",
        modality: str = "CT",
        slopes: Sequence[float] | None = None,
        intercept: float = 0.0,
        **tags: Any,
    ) -> list[Path]:
        """Slices `voxels` (slices, rows, columns), as stored, along the normal from `position` on; paths in that order.

        Tags that are None are left out.
        """
        folder.mkdir(parents=True, exist_ok=True)
        normal = np.cross(*orientation)
        shuffled = np.random.default_rng(1).permutation(len(voxels))
        paths = []
        for index, plane in enumerate(voxels):
            path = folder / (f"{shuffled[index]:03d}.dcm" if names is None else names[index])
            dataset = empty_file(path, STORAGE[modality], modality)
            dataset.SeriesInstanceUID = uid
            dataset.StudyInstanceUID = "1.2.5"
            dataset.FrameOfReferenceUID = frame
            dataset.PatientID = patient
            dataset.PatientName = f"{patient}^"
            dataset.SliceThickness = abs(step)
            dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
            dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
            dataset.ImagePositionPatient = [f"{v:.10g}" for v in np.array(position) + index * step * normal]
            dataset.ImageOrientationPatient = [f"{v:.10g}" for v in np.ravel(orientation)]
            dataset.PixelSpacing = list(spacing)
            dataset.Rows, dataset.Columns = plane.shape
            dataset.SamplesPerPixel = 1
            dataset.PhotometricInterpretation = "MONOCHROME2"
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit = 15
            dataset.PixelRepresentation = 1
            dataset.RescaleSlope = 1.0 if slopes is None else slopes[index]
            dataset.RescaleIntercept = intercept
            dataset.InstanceNumber = int(shuffled[index]) + 1
            for tag, value in tags.items():
                if value is None:
                    delattr(dataset, tag)
                else:
                    setattr(dataset, tag, value)
            dataset.PixelData = plane.astype(np.int16).tobytes()
            dataset.save_as(path)
            paths.append(path)
        return paths

    def structure_set(
        self,
        path: Path,
        structures: Mapping[str, Sequence[np.ndarray]],
        *,
        series: str | None = "1.2.3",
        frame: str = "1.2.4",
        kind: str = "CLOSED_PLANAR",
    ) -> Path:
        """Structures with contours (points, 3) in mm in LPS."""
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = empty_file(path, RTStructureSetStorage, "RTSTRUCT")
        reference = Dataset()
        reference.FrameOfReferenceUID = frame
        if series is not None:
            study, referenced = Dataset(), Dataset()
            referenced.SeriesInstanceUID = series
            study.RTReferencedSeriesSequence = [referenced]
            reference.RTReferencedStudySequence = [study]
        dataset.ReferencedFrameOfReferenceSequence = [reference]
        dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
        for number, (name, contours) in enumerate(structures.items(), start=7):
            roi, drawn = Dataset(), Dataset()
            roi.ROINumber, roi.ROIName = number, name.partition("#")[0]
            drawn.ReferencedROINumber = number
            drawn.ContourSequence = []
            for points in contours:
                contour = Dataset()
                contour.ContourGeometricType = kind
                contour.NumberOfContourPoints = len(points)
                contour.ContourData = [f"{value:.4f}" for value in np.ravel(points)]
                drawn.ContourSequence.append(contour)
            dataset.StructureSetROISequence.append(roi)
            dataset.ROIContourSequence.append(drawn)
        dataset.save_as(path)
        return path

    def segmentation(self, path: Path, slices: Sequence[Path], masks: Mapping[str, np.ndarray], **options: Any) -> Path:
        """A binary SEG of masks (slices, rows, columns) on the slices that are given, in their order."""
        import highdicom
        from pydicom.sr.codedict import codes

        segmentation = highdicom.seg.Segmentation(
            source_images=[pydicom.dcmread(item) for item in slices],
            pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[
                highdicom.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=name,
                    segmented_property_category=codes.SCT.Organ,
                    segmented_property_type=codes.SCT.Liver,
                    algorithm_type="MANUAL",
                )
                for number, name in enumerate(masks, start=1)
            ],
            series_instance_uid=generate_uid(),
            series_number=2,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="1",
            device_serial_number="1",
            **options,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        segmentation.save_as(path)
        return path
