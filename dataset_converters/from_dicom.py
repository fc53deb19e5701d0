"""Any folder of DICOM series with structures in RTSTRUCT or SEG files: a case for every series that has one."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.data.conversion import Converter, SourceCase, nothing_found
from hermes_nnunet.data.dicom.folder import DicomFolder, ImageSeries, LabelObject, read_folder
from hermes_nnunet.data.dicom.label_map import LabelMap
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.data.merge.specification import RESERVED_LABELS
from hermes_nnunet.errors import HermesError

_MOST_LABELS = 255


def resolve(source: Path, labels: Sequence[str] = (), priority: Sequence[str] = ()) -> Converter:
    """The converter of one folder.

    Args:
        labels: structures to take, which every case must have; by default all that any case has.
        priority: structures that win where they overlap others, the first of them first.

    Raises:
        HermesError: there is no label object, a name is unknown, or the labelled series are of several modalities.
    """
    folder = read_folder(source)
    if not folder.labels:
        raise nothing_found(source, "RTSTRUCT or SEG file")
    present = Counter(name for label in folder.labels for name in label.names)
    if not present:
        problems = [f"{label.path}: {label.problem}" for label in folder.labels if label.problem]
        raise HermesError(
            f"none of {len(folder.labels)} RTSTRUCT and SEG files has a structure with an area: "
            f"{problems[0] if problems else folder.labels[0].path}"
        )
    chosen = _chosen(labels, priority, present)
    labelled: dict[ImageSeries, list[LabelObject]] = {}
    cases = []
    for label in folder.labels:
        series = folder.series_of(label)
        if series is None:
            cases.append(_case_without_series(label, source))
        else:
            labelled.setdefault(series, []).append(label)
    modality = _modality(labelled, source)
    names = _case_names(labelled)
    cases += [
        _case(names[series], series, tuple(objects), chosen, tuple(labels), tuple(priority))
        for series, objects in labelled.items()
    ]
    return replace(
        CONVERTER,
        title=f"DICOM of {source.name}",
        modalities=(modality,),
        channels=(modality,),
        labels=chosen,
        notes=_notes(folder, labelled, chosen, present),
        find_cases=lambda _: cases,
    )


def _chosen(labels: Sequence[str], priority: Sequence[str], present: Counter[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(labels)) or tuple(sorted(present))
    for option, words, known in (("labels", labels, present), ("priority", priority, chosen)):
        for word in words:
            if word not in known:
                raise HermesError(
                    f"--{option}: there is no structure '{word}'{did_you_mean(word, known)}: there are "
                    f"{listed(sorted(known), limit=40)}"
                )
    for word in chosen:
        if word in RESERVED_LABELS:
            raise HermesError(f"a structure is named '{word}', which nnU-Net needs itself: choose others with --labels")
    if not 1 <= len(chosen) <= _MOST_LABELS:
        raise HermesError(f"{len(chosen)} structures: choose 1 to {_MOST_LABELS} with --labels")
    return chosen


def _modality(labelled: dict[ImageSeries, list[LabelObject]], source: Path) -> str:
    counts = Counter(series.modality for series in labelled)
    if len(counts) > 1:
        found = ", ".join(f"{count} of {modality}" for modality, count in sorted(counts.items()))
        raise HermesError(f"{source} holds labelled series of several modalities ({found}): convert a folder of each")
    return next(iter(counts), "CT")


def _case_names(labelled: dict[ImageSeries, list[LabelObject]]) -> dict[ImageSeries, str]:
    """The patient; where a patient has several series, with a number in the order of their files."""
    names: dict[ImageSeries, str] = {}
    ordered = sorted(labelled, key=lambda series: series.paths)
    numbers: Counter[str] = Counter()
    totals = Counter(_patient_word(series) for series in ordered)
    for series in ordered:
        word = _patient_word(series)
        numbers[word] += 1
        names[series] = word if totals[word] == 1 else f"{word}_{numbers[word]}"
    return names


def _patient_word(series: ImageSeries) -> str:
    return _word(series.patient) or "patient"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def _case(
    name: str,
    series: ImageSeries,
    objects: tuple[LabelObject, ...],
    labels: tuple[str, ...],
    required: tuple[str, ...],
    priority: tuple[str, ...],
) -> SourceCase:
    problems = [f"{label.path}: {label.problem}" for label in objects if label.problem]
    counts = Counter(structure for label in objects for structure in label.names)
    twice = [structure for structure, count in counts.items() if count > 1 and structure in labels]
    if twice:
        files = listed(label.path for label in objects if twice[0] in label.names)
        problems.append(f"{files} both have '{twice[0]}': remove one of the files")
    missing = [structure for structure in required if structure not in counts]
    if missing:
        problems.append(f"{listed(label.path for label in objects)} has no structure {listed(missing)}")
    image = DicomVolume(series.paths)
    return SourceCase(
        name=name,
        images=(image,),
        label=LabelMap(objects, image, labels, priority),
        patient=_patient_word(series),
        problems=tuple(problems),
    )


def _case_without_series(label: LabelObject, source: Path) -> SourceCase:
    return SourceCase(
        name=_word(str(label.path.relative_to(source))) or "label",
        images=(),
        label=None,
        problems=(f"{label.path} was drawn on a series that is not in the folder ({label.series or 'it names none'})",),
    )


def _notes(
    folder: DicomFolder,
    labelled: dict[ImageSeries, list[LabelObject]],
    chosen: tuple[str, ...],
    present: Counter[str],
) -> tuple[str, ...]:
    notes = []
    of_series = [{name for label in objects for name in label.names} for objects in labelled.values()]
    for name in chosen:
        having = sum(name in names for names in of_series)
        if having < len(of_series):
            notes.append(
                f"warning: only {having} of {len(of_series)} cases have '{name}', in the others it counts as "
                "background; --labels takes structures that all cases have"
            )
    left = sorted(set(present) - set(chosen))
    if left:
        notes.append(f"structures left out: {listed(left, limit=40)}")
    unlabelled = [series.description for series in folder.series if series not in labelled]
    if unlabelled:
        notes.append(f"series without RTSTRUCT or SEG, left out: {len(unlabelled)}: {listed(unlabelled)}")
    if folder.others:
        kinds = ", ".join(f"{len(paths)} {modality}" for modality, paths in sorted(folder.others.items()))
        files = listed(str(path) for paths in folder.others.values() for path in paths)
        notes.append(f"files of other kinds, left out: {kinds}: {files}")
    if folder.unread:
        notes.append(f"files that are not DICOM, left out: {len(folder.unread)}: {listed(folder.unread)}")
    return tuple(notes)


CONVERTER = Converter(
    name="from_dicom",
    title="any folder of DICOM series with RTSTRUCT or SEG",
    dataset="DICOM",
    modalities=("CT", "MR", "PET"),
    channels=("CT",),
    labels=(),
    cases=None,
    home="your own data",
    licence="that of your data",
    reference="",
    release="",
    layout=("files of any name in any folders; series and labels are found by their headers",),
    options=("labels", "priority"),
    resolve=resolve,
    find_cases=lambda source: resolve(source).find_cases(source),
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
