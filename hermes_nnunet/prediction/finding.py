"""Which cases an input folder or file holds."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from hermes_nnunet.core.found_files import files_in, files_under, folders_in, is_broken_link
from hermes_nnunet.core.images.endings import KNOWN, split_ending
from hermes_nnunet.core.shortages import broken_link_line
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.dicom.files import looks_like_dicom
from hermes_nnunet.data.dicom.folder import DicomFolder, ImageSeries, read_folder
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.image_sources import DicomSource, FileSource, ImageSource, UnclearSource
from hermes_nnunet.prediction.seg_nrrd import is_seg_nrrd
from hermes_nnunet.prediction.wishes import SEG_NRRD_ENDING

# A channel is below 100, so that the year in scan_2019.nii.gz is none.
_NAME = re.compile(r"(?P<case>.+?)(_(?P<channel>00\d\d))?", re.DOTALL)
_FIRST_CHANNEL = "0000"
_MOST_LOOKED_AT = 1000


def find_cases(source: Path, spacing_from: str | None = None) -> list[ImageSource]:
    """The cases of an image file, of a folder of image files, or of a folder of DICOM files.

    Image files in a folder are named as nnU-Net names them (`<case>_0000.nii.gz`, a number for each channel), or else
    every file is a case. A folder of DICOM files is one case; in a folder of such folders each is one.

    Args:
        spacing_from: what decides the spacing of image files whose headers say two, see `core.images`.

    Raises:
        HermesError: there are no images, or it is not clear which belong together.
    """
    if is_broken_link(source):
        raise HermesError(broken_link_line(source))
    if not source.exists():
        raise HermesError(f"{source} does not exist: give an image file, or a folder of image files or DICOM files")
    if source.is_file():
        if is_seg_nrrd(source):
            raise HermesError(f"{source} is a segmentation by its name ({SEG_NRRD_ENDING}): give the image")
        match = _match(source)
        if match is None:
            raise HermesError(f"{source} is no image file ({KNOWN}): give one, or the folder of a DICOM series")
        return [FileSource(match["case"], (source,), spacing_from)]
    return file_cases(files_in(source), source, spacing_from) or dicom_cases(source)


def file_cases(files: Iterable[Path], source: Path, spacing_from: str | None = None) -> list[ImageSource]:
    """The cases of image files in a folder; other files are left out.

    Args:
        source: the folder, for messages.

    Raises:
        HermesError: it is not clear which belong together.
    """
    matches = [(match, path) for path in files if (match := _match(path)) is not None]
    return _file_cases(matches, source, spacing_from) if matches else []


def unused_lines(source: Path) -> list[str]:
    """What in a folder of image files is none of its cases, a line for each kind: files, and folders with DICOM."""
    if not source.is_dir():
        return []
    files = files_in(source)
    if not any(_match(path) for path in files):
        return []
    segmentations = [path.name for path in files if is_seg_nrrd(path)]
    others = [path.name for path in files if split_ending(path.name) is None]
    folders = [path.name for path in folders_in(source) if _holds_dicom(path)]
    kinds = {
        "no images of a known format": others,
        "segmentations by their names": segmentations,
        "folders with DICOM beside image files (give them as the input of their own)": folders,
    }
    return [f"not used, since {what}: {listed(names)} in {source}" for what, names in kinds.items() if names]


def _holds_dicom(folder: Path) -> bool:
    """Whether a folder that is not looked through for cases has DICOM among its first files."""
    try:
        return any(looks_like_dicom(path) for path in islice(files_under(folder), _MOST_LOOKED_AT))
    except (OSError, HermesError):
        return False


def taken_channel(case: ImageSource) -> str | None:
    """The four digits of the case's only file that are taken for a channel, where they are not those of the first."""
    match = _match(case.files[0]) if isinstance(case, FileSource) and len(case.files) == 1 else None
    channel = match["channel"] if match else None
    return None if channel == _FIRST_CHANNEL else channel


def _match(path: Path) -> re.Match[str] | None:
    """The parts of an image's name; None of another file."""
    parts = None if is_seg_nrrd(path) else split_ending(path.name)
    return None if parts is None else _NAME.fullmatch(parts[0])


def dicom_cases(source: Path) -> list[ImageSource]:
    """A case for each folder with DICOM images, named like the folder.

    A folder of several series is a case that cannot be read, so that others can.

    Raises:
        HermesError: there are none, or none with one series; two folders would be cases of one name; a file is damaged;
            or pydicom is not installed.
    """
    try:
        found = read_folder(source)
    except ModuleNotFoundError:
        raise HermesError("DICOM is read with pydicom: pip install 'hermes-nnunet[dicom]'") from None
    by_folder: dict[Path, list[ImageSeries]] = defaultdict(list)
    for series in found.series:
        by_folder[series.paths[0].parent].append(series)
    if not by_folder:
        raise HermesError(f"{source} holds no image files ({KNOWN}) and no DICOM images: check the folder")
    _check_case_names(sorted(by_folder), source)
    reasons = {folder: _several_series(folder, own) for folder, own in by_folder.items() if len(own) > 1}
    if len(reasons) == len(by_folder):
        raise HermesError("\n  ".join(reasons[folder] for folder in sorted(reasons)))
    left_out = _left_out(found, sorted(by_folder.keys() - reasons.keys()))
    cases: list[ImageSource] = []
    for folder, own in sorted(by_folder.items()):
        name = _case_name(folder, source)
        if folder in reasons:
            paths = tuple(path for series in own for path in series.paths)
            cases.append(UnclearSource(name, folder, paths, reasons[folder]))
        else:
            cases.append(DicomSource(name, own[0], left_out[folder]))
    return cases


def _several_series(folder: Path, several: Sequence[ImageSeries]) -> str:
    names = listed(f"{series.description.partition(', ')[2]} ({len(series.paths)} files)" for series in several)
    return f"{folder} holds {len(several)} DICOM series: {names}; give each a folder of its own"


def _check_case_names(folders: Sequence[Path], source: Path) -> None:
    """Raises: HermesError where two folders would be cases of one name, of which one would replace the other."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = _case_name(folder, source)
        other = named.setdefault(name, folder)
        if other != folder:
            raise HermesError(f"{other} and {folder} would both be called case {name}: rename one of the folders")


def _left_out(found: DicomFolder, folders: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Folder of a case -> files in it that are no slices; the first has those of folders without a case too."""
    left_out: dict[Path, list[Path]] = {folder: [] for folder in folders}
    for path in (
        *found.unread,
        *(path for paths in found.others.values() for path in paths),
        *(label.path for label in found.labels),
    ):
        left_out[path.parent if path.parent in left_out else folders[0]].append(path)
    return {folder: tuple(sorted(paths)) for folder, paths in left_out.items()}


def _case_name(folder: Path, source: Path) -> str:
    parts = folder.relative_to(source).parts
    return "_".join(parts) if parts else source.resolve().name


def _file_cases(
    matches: Sequence[tuple[re.Match[str], Path]], source: Path, spacing_from: str | None
) -> list[ImageSource]:
    numbered = [path for match, path in matches if match["channel"] is not None]
    if len(numbered) not in (0, len(matches)):
        plain = next(path for match, path in matches if match["channel"] is None)
        raise HermesError(
            f"{source}: {numbered[0].name} has a channel number and {plain.name} has none: name all files alike"
        )
    cases: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for match, path in matches:
        channel = match["channel"] or _FIRST_CHANNEL
        if any(other == channel for other, _ in cases[match["case"]]):
            raise HermesError(f"{source} holds case {match['case']} twice ({path.name}): keep one of the two files")
        cases[match["case"]].append((channel, path))
    channels = {case: tuple(channel for channel, _ in sorted(files)) for case, files in cases.items()}
    _check_numbers(channels, source)
    usual = max(channels.values(), key=list(channels.values()).count)
    for case, own in channels.items():
        if own != usual:
            raise HermesError(
                f"{source}: case {case} has the channels {listed(own)}, others have {listed(usual)}: every case needs "
                "the same ones"
            )
    return [
        FileSource(case, tuple(path for _, path in sorted(files)), spacing_from)
        for case, files in sorted(cases.items())
    ]


def _check_numbers(channels: Mapping[str, Sequence[str]], source: Path) -> None:
    """See that several channels of a case are numbered from 0000 without a gap."""
    for case, own in channels.items():
        if len(own) > 1 and list(own) != [f"{number:04d}" for number in range(len(own))]:
            raise HermesError(
                f"{source}: the last four digits of {case}_{own[0]} and {case}_{own[1]} are taken for the channels "
                f"{listed(own)} of one case '{case}', but channels are 0000 to {len(own) - 1:04d}: add the missing, "
                "or name each case <case>_0000"
            )
