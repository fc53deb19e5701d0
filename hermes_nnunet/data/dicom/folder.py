"""What a folder of DICOM files holds: series of images, and label objects (RTSTRUCT, SEG) that name structures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from hermes_nnunet.data.dicom.segmentations import segment_numbers
from hermes_nnunet.data.dicom.structure_sets import contours_by_name
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from pydicom import Dataset

RTSTRUCT = "RTSTRUCT"
SEG = "SEG"
# DICOM's word -> ours.
IMAGE_MODALITIES = {"CT": "CT", "MR": "MR", "PT": "PET"}

_TAGS = ("Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "SeriesDescription")


@dataclass(frozen=True)
class ImageSeries:
    """Slices of one image.

    Attributes:
        uid: empty where it was taken away, for example to make the data anonymous.
        frame_of_reference: what images on the same patient coordinates share; may be empty too.
        modality: in our words.
        patient: the patient's id, or else the name of the folder.
        description: for people.
    """

    uid: str
    frame_of_reference: str
    modality: str
    patient: str
    description: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class LabelObject:
    """A file that names structures.

    Attributes:
        kind: RTSTRUCT or SEG.
        series: uid of the series that it was drawn on; empty where it does not say.
        names: of its structures.
        problem: why it cannot be used, or empty.
    """

    path: Path
    kind: str
    series: str
    frame_of_reference: str
    names: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class DicomFolder:
    """Image series, label objects, and how many files of other modalities there are."""

    series: tuple[ImageSeries, ...]
    labels: tuple[LabelObject, ...]
    others: dict[str, int]

    def series_of(self, label: LabelObject) -> ImageSeries | None:
        """The series that a label object was drawn on.

        Where one of the two has no uid, it is the only series in the label's frame of reference.
        """
        named = [series for series in self.series if series.uid and series.uid == label.series]
        if not named:
            named = [
                series
                for series in self.series
                if series.frame_of_reference
                and series.frame_of_reference == label.frame_of_reference
                and not (series.uid and label.series)
            ]
        return named[0] if len(named) == 1 else None


def read_folder(source: Path) -> DicomFolder:
    """Read the headers of all DICOM files under a folder; other files are passed over.

    Raises:
        HermesError: a DICOM file is damaged.
    """
    slices: dict[tuple[str, str], list[tuple[Path, Dataset]]] = {}
    labels = []
    others: Counter[str] = Counter()
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    for path in tqdm(files, desc="Reading headers", unit="file"):
        header = _read(path, specific_tags=list(_TAGS))
        if header is None:
            continue
        modality = str(header.get("Modality", ""))
        if modality in IMAGE_MODALITIES:
            uid = str(header.get("SeriesInstanceUID") or "")
            # Files without a uid are a series if they lie together.
            slices.setdefault((uid, "" if uid else str(path.parent)), []).append((path, header))
        elif modality in (RTSTRUCT, SEG):
            labels.append(_label_object(path, modality))
        else:
            others[modality or "no modality"] += 1
    return DicomFolder(tuple(_series(members, source) for members in slices.values()), tuple(labels), dict(others))


def _read(path: Path, **options: Any) -> "Dataset | None":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path, stop_before_pixels=True, **options)
    except InvalidDicomError:
        return None
    except Exception as error:  # pydicom raises many kinds for damaged files
        reason = " ".join(str(error).split())
        raise HermesError(
            f"{path} is damaged ({type(error).__name__}: {reason}): copy it again, or remove it"
        ) from None


def _series(members: Sequence[tuple[Path, "Dataset"]], source: Path) -> ImageSeries:
    path, header = members[0]
    return ImageSeries(
        uid=str(header.get("SeriesInstanceUID") or ""),
        frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
        modality=IMAGE_MODALITIES[str(header.Modality)],
        patient=str(header.get("PatientID") or "").strip() or path.parent.name,
        description=f"{path.parent.relative_to(source)}, {header.get('SeriesDescription') or 'no description'}",
        paths=tuple(path for path, _ in members),
    )


def _label_object(path: Path, kind: str) -> LabelObject:
    dataset = _read(path)
    assert dataset is not None
    problem = ""
    names: tuple[str, ...] = ()
    try:
        names = tuple(contours_by_name(dataset) if kind == RTSTRUCT else segment_numbers(dataset))
    except HermesError as error:
        problem = str(error)
    except (AttributeError, TypeError, ValueError) as error:
        problem = f"it is damaged ({' '.join(str(error).split())}): copy it again, or remove it"
    frame, series = _references(dataset, kind)
    return LabelObject(path, kind, series, frame, names, problem)


def _references(dataset: "Dataset", kind: str) -> tuple[str, str]:
    """Frame of reference, and uid of the series that the label object names; each may be empty."""
    if kind == SEG:
        series = [item.SeriesInstanceUID for item in dataset.get("ReferencedSeriesSequence", ())]
        return str(dataset.get("FrameOfReferenceUID") or ""), str(series[0]) if series else ""
    frames = dataset.get("ReferencedFrameOfReferenceSequence", ())
    series = [
        item.SeriesInstanceUID
        for frame in frames
        for study in frame.get("RTReferencedStudySequence", None) or ()
        for item in study.get("RTReferencedSeriesSequence", None) or ()
    ]
    frame = str(frames[0].get("FrameOfReferenceUID") or "") if frames else ""
    return frame, str(series[0]) if series else ""
