"""Which cases an input folder or file holds."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.dicom.folder import ImageSeries, read_folder
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.image_sources import DicomSource, ImageSource, NiftiSource

# A channel is below 100, so that the year in scan_2019.nii.gz is none.
_NIFTI = re.compile(r"(?P<case>.+?)(_(?P<channel>00\d\d))?\.nii(\.gz)?", re.DOTALL)


def find_cases(source: Path) -> list[ImageSource]:
    """The cases of a NIfTI file, of a folder of NIfTI files, or of a folder of DICOM files.

    NIfTI files in a folder are named as nnU-Net names them (`<case>_0000.nii.gz`, a number for each channel), or else
    every file is a case. A folder of DICOM files is one case; in a folder of such folders each is one.

    Raises:
        HermesError: there are no images, or it is not clear which belong together.
    """
    if not source.exists():
        raise HermesError(f"{source} does not exist: give a NIfTI file, or a folder of NIfTI or DICOM files")
    if source.is_file():
        match = _NIFTI.fullmatch(source.name)
        if match is None:
            raise HermesError(f"{source} is no NIfTI file (.nii, .nii.gz): give one, or the folder of a DICOM series")
        return [NiftiSource(match["case"], (source,))]
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    matches = [(match, path) for path in files if (match := _NIFTI.fullmatch(path.name)) is not None]
    return _nifti_cases(matches, source) if matches else dicom_cases(source)


def dicom_cases(source: Path) -> list[ImageSource]:
    """A case for each folder with DICOM images, named like the folder.

    Raises:
        HermesError: there are none, a folder has several series, or pydicom is not installed.
    """
    by_folder: dict[Path, list[ImageSeries]] = defaultdict(list)
    try:
        found = read_folder(source).series
    except ModuleNotFoundError:
        raise HermesError("DICOM is read with pydicom: pip install 'hermes-nnunet[dicom]'") from None
    for series in found:
        by_folder[series.paths[0].parent].append(series)
    if not by_folder:
        raise HermesError(f"{source} holds no NIfTI (.nii, .nii.gz) and no DICOM images: check the folder")
    for folder, several in by_folder.items():
        if len(several) > 1:
            names = listed(f"{series.description.partition(', ')[2]} ({len(series.paths)} files)" for series in several)
            raise HermesError(f"{folder} holds {len(several)} DICOM series: {names}; give each a folder of its own")
    return [DicomSource(_case_name(folder, source), series) for folder, (series,) in sorted(by_folder.items())]


def _case_name(folder: Path, source: Path) -> str:
    parts = folder.relative_to(source).parts
    return "_".join(parts) if parts else source.resolve().name


def _nifti_cases(matches: Sequence[tuple[re.Match, Path]], source: Path) -> list[ImageSource]:
    numbered = [path for match, path in matches if match["channel"] is not None]
    if len(numbered) not in (0, len(matches)):
        plain = next(path for match, path in matches if match["channel"] is None)
        raise HermesError(
            f"{source}: {numbered[0].name} has a channel number and {plain.name} has none: name all files alike"
        )
    cases: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for match, path in matches:
        channel = match["channel"] or "0000"
        if any(other == channel for other, _ in cases[match["case"]]):
            raise HermesError(f"{source} holds case {match['case']} twice ({path.name}): keep one of the two files")
        cases[match["case"]].append((channel, path))
    channels = {case: tuple(channel for channel, _ in sorted(files)) for case, files in cases.items()}
    usual = max(channels.values(), key=list(channels.values()).count)
    for case, own in channels.items():
        if own != usual:
            raise HermesError(
                f"{source}: case {case} has the channels {listed(own)}, others have {listed(usual)}: every case needs "
                "the same ones"
            )
    return [NiftiSource(case, tuple(path for _, path in sorted(files))) for case, files in sorted(cases.items())]
