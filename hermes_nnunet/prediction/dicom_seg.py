"""Segmentations as DICOM SEG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.data.dicom.slices import Slice
from hermes_nnunet.prediction.dicom_objects import DESCRIPTION, MAKER, SERIES_NUMBER
from hermes_nnunet.prediction.terminology import structure_of
from hermes_nnunet.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset


def write(
    label_map: np.ndarray, labels: Sequence[Label], slices: Sequence[Slice], datasets: Sequence["Dataset"], path: Path
) -> None:
    """Write a DICOM SEG, binary.

    Args:
        label_map: (slices, rows, columns) of the series.
        labels: the segments, in this order.
        slices: of the series, in order.
        datasets: headers of the slices.
    """
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=MAKER, version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label.name[:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=structure.code if structure else codes.SCT.AnatomicalStructure,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*label.rgb),
        )
        for number, label in enumerate(labels, start=1)
        for structure in [structure_of(label.name)]
    ]
    highdicom.seg.Segmentation(
        source_images=datasets,
        pixel_array=_segments(label_map, labels),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=__version__,
        device_serial_number="0",
        series_description=DESCRIPTION,
    ).save_as(path)


def _segments(label_map: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Segment numbers (slices, rows, columns); one mask a segment (..., segments) where segments lie within others."""
    if any(len(label.values) > 1 for label in labels):
        return np.stack([np.isin(label_map, label.values) for label in labels], axis=-1)
    number_of = np.zeros(1 + max(label.value for label in labels), np.uint16)
    for number, label in enumerate(labels, start=1):
        number_of[label.value] = number
    return number_of[label_map]
