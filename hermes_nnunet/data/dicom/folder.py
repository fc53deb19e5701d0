"""What a folder of DICOM files holds: series of images, and label objects (RTSTRUCT, SEG) that name structures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from hermes_nnunet.core.found_files import files_under, is_broken_link
from hermes_nnunet.core.shortages import broken_link_line
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.dicom.files import could_be_dicom, decoding, read_dicom
from hermes_nnunet.data.dicom.segmentations import segment_numbers
from hermes_nnunet.data.dicom.structure_sets import contours_by_name
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from pydicom import Dataset

RTSTRUCT = "RTSTRUCT"
SEG = "SEG"
# DICOM's word -> ours.
IMAGE_MODALITIES = {"CT": "CT", "MR": "MR", "PT": "PET"}

_TAGS = ("SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "SeriesDescription", "SOPClassUID")
# Kind of object -> modality, for headers that lost it: storage classes of DICOM, PS3.4 table B.5-1.
_MODALITY_OF_CLASS = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.481.3": RTSTRUCT,
    "1.2.840.10008.5.1.4.1.1.66.4": SEG,
}


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
        patient: the patient's id; empty where it was taken away.
        series: uid of the series that it was drawn on; empty where it does not say.
        names: of its structures.
        problem: why it cannot be used, or empty.
    """

    path: Path
    kind: str
    patient: str
    series: str
    frame_of_reference: str
    names: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class DicomFolder:
    """What lies in a folder.

    Attributes:
        others: modality ("no modality" where the header has none) -> DICOM files that are neither images nor labels.
        unread: files that are not DICOM, and links that do not say that they were.
    """

    series: tuple[ImageSeries, ...]
    labels: tuple[LabelObject, ...]
    others: dict[str, tuple[Path, ...]]
    unread: tuple[Path, ...]

    def series_of(self, label: LabelObject) -> ImageSeries | None:
        """The series that a label object was drawn on.

        Where one of the two has no uid, it is the only series in the label's frame of reference; where several have
        the uid, it is that of the label's patient and frame of reference.
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
        if len(named) > 1:
            named = [series for series in named if not label.patient or series.patient == label.patient]
        if len(named) > 1:
            named = [series for series in named if series.frame_of_reference == label.frame_of_reference]
        return named[0] if len(named) == 1 else None


class _SeriesKey(NamedTuple):
    """What all slices of a series have in common; each text may be empty."""

    uid: str
    folder: Path
    modality: str
    patient: str
    frame_of_reference: str


def read_folder(source: Path) -> DicomFolder:
    """Read the headers of all files under a folder but hidden ones, those of linked folders too.

    A series is what has one uid, patient and frame of reference and lies in one folder.

    Raises:
        HermesError: a DICOM file is damaged, or a link to what is not there, or it is not clear which slices are one
            image; or a folder cannot be read.
    """
    slices: dict[_SeriesKey, list[tuple[Path, Dataset]]] = defaultdict(list)
    labels = []
    others: dict[str, list[Path]] = defaultdict(list)
    unread = []
    for path in tqdm(sorted(files_under(source)), desc="Reading headers", unit="file"):
        header = None if is_broken_link(path) else read_dicom(path, tags=_TAGS)
        if header is None:
            unread.append(path)
            continue
        with decoding(path):
            modality = _modality(header)
            key = _SeriesKey(
                uid=_text(header, "SeriesInstanceUID"),
                folder=path.parent,
                modality=modality,
                patient=_text(header, "PatientID"),
                frame_of_reference=_text(header, "FrameOfReferenceUID"),
            )
        if modality in IMAGE_MODALITIES:
            slices[key].append((path, header))
        elif modality in (RTSTRUCT, SEG):
            labels.append(_label_object(path, modality))
        else:
            others[modality or "no modality"].append(path)
    _check_damaged(unread, [path for members in slices.values() for path, _ in members])
    _check_uids({key: [path for path, _ in members] for key, members in slices.items()})
    return DicomFolder(
        series=tuple(_series(members, source) for members in slices.values()),
        labels=tuple(labels),
        others={kind: tuple(paths) for kind, paths in others.items()},
        unread=tuple(unread),
    )


def _text(header: "Dataset", tag: str) -> str:
    return str(header.get(tag) or "").strip()


def _modality(header: "Dataset") -> str:
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    return _text(header, "Modality") or _MODALITY_OF_CLASS.get(str(kind), "")


def _check_damaged(unread: Iterable[Path], slices: Iterable[Path]) -> None:
    """Raises: HermesError where files are not DICOM, or not there, but named as if they were slices."""
    beside = defaultdict(list)
    for path in slices:
        beside[path.parent].append(path)
    damaged = [path for path in unread if could_be_dicom(path, beside[path.parent])]
    broken = [path for path in damaged if is_broken_link(path)]
    if broken:
        others = f" (one of {len(broken)} such links: {listed(broken)})" if len(broken) > 1 else ""
        raise HermesError(broken_link_line(broken[0]) + others)
    if damaged:
        raise HermesError(
            f"{damaged[0].parent}: {listed(path.name for path in damaged)}: not readable as DICOM, but called like it: "
            "copy the files again, or remove them if they are no slices"
        )


def _check_uids(groups: Mapping[_SeriesKey, Sequence[Path]]) -> None:
    """Raises: HermesError where it is not clear whether slices with one series uid are of one image."""
    by_uid = defaultdict(list)
    for key in groups:
        by_uid[key.uid].append(key)
    by_uid.pop("", None)
    for uid, several in by_uid.items():
        for one, other in combinations(several, 2):
            if one.folder == other.folder:
                raise HermesError(
                    f"{one.folder}: {groups[one][0].name} and {groups[other][0].name} have one series uid ({uid}), but "
                    "different modalities, patients or frames of reference: give each image a folder of its own"
                )
            if (one.patient, one.frame_of_reference) == (other.patient, other.frame_of_reference):
                raise HermesError(
                    f"{one.folder} ({len(groups[one])} files) and {other.folder} ({len(groups[other])} files) hold one "
                    f"series ({uid}) of one patient: move its slices to one folder, or take one of the two away if it "
                    "is a copy or another patient's"
                )


def _series(members: Sequence[tuple[Path, "Dataset"]], source: Path) -> ImageSeries:
    path, header = members[0]
    return ImageSeries(
        uid=_text(header, "SeriesInstanceUID"),
        frame_of_reference=_text(header, "FrameOfReferenceUID"),
        modality=IMAGE_MODALITIES[_modality(header)],
        patient=_text(header, "PatientID") or path.parent.name,
        description=f"{path.parent.relative_to(source)}, {header.get('SeriesDescription') or 'no description'}",
        paths=tuple(path for path, _ in members),
    )


def _label_object(path: Path, kind: str) -> LabelObject:
    dataset = read_dicom(path)
    assert dataset is not None
    problem = ""
    names: tuple[str, ...] = ()
    try:
        names = tuple(contours_by_name(dataset) if kind == RTSTRUCT else segment_numbers(dataset))
    except HermesError as error:
        problem = str(error)
    except (AttributeError, TypeError, ValueError) as error:
        problem = f"it is damaged ({' '.join(str(error).split())}): copy it again, or remove it"
    with decoding(path):
        frame, series = _references(dataset, kind)
        return LabelObject(path, kind, _text(dataset, "PatientID"), series, frame, names, problem)


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
