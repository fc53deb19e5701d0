"""What is looked at before a prediction begins."""

from collections.abc import Sequence

from tqdm import tqdm

from hermes_nnunet.core.images.remarks import Remark, remark_lines
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.dicom_objects import check_dicom_writers
from hermes_nnunet.prediction.failures import Failures
from hermes_nnunet.prediction.finding import taken_channel
from hermes_nnunet.prediction.image_sources import DicomSource, FileSource, ImageSource
from hermes_nnunet.prediction.preparing import check_channels
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS, NIFTI, Wishes

# Modalities of which a DICOM header can say that an image is another.
_TOLD_BY_DICOM = ("CT", "PET")
_MOST_NAMED = 10


def check_wishes(wishes: Wishes) -> None:
    """See that what is asked for goes together and can be written.

    Raises:
        UsageError: it does not go together.
        HermesError: a package is missing.
    """
    if wishes.output_type == NIFTI:
        return
    if wishes.per_task:
        raise UsageError(
            f"--per-task writes NIfTI masks: leave it out, since {wishes.output_type} has a part for each task anyway"
        )
    if wishes.output_type in DICOM_OBJECTS:
        check_dicom_writers(wishes.output_type)


def check_cases(cases: Sequence[ImageSource], destination: Destination, failures: Failures) -> list[str]:
    """Read the headers of the cases that have not failed; lines that people should read.

    Args:
        failures: gets the cases with an image that cannot be read, is not of three dimensions, or does not say where it
            lies.

    Raises:
        HermesError: cases lack a channel, or are not DICOM where they must be.
    """
    wishes = destination.wishes
    remarks: list[Remark] = []
    for case in tqdm(
        [case for case in cases if case.name not in failures], desc="Checking images", unit="case", leave=False
    ):
        with failures.of(case.name):
            remarks += case.check()
        if case.name in failures:
            continue
        files = len(case.files) if isinstance(case, FileSource) else 1
        check_channels(case, files, destination.choice_of(case.name).passes)
        if wishes.output_type in DICOM_OBJECTS and not isinstance(case, DicomSource):
            raise HermesError(f"{case.place} is not DICOM, so {wishes.output_type} cannot refer to it: leave that out")
    dicom = [case for case in cases if isinstance(case, DicomSource) and case.name not in failures]
    said = {
        (case.series.modality, one.context.modality): case
        for case in dicom
        for one in destination.choice_of(case.name).passes
    }
    nameless = [case for case in dicom if not case.series.uid and wishes.output_type in DICOM_OBJECTS]
    lines = [
        f"{case.place} has no series uid (it was made anonymous?): {wishes.output_type} gets uids of its own, and "
        "viewers may not find its images"
        for case in nameless[:1]
    ]
    lines += remark_lines(remarks)
    lines += [
        f"the {channel} of {case.files[0].name} is taken for its channel: the case is called {case.name}"
        for case in cases
        if isinstance(case, FileSource) and (channel := taken_channel(case)) is not None
    ][:_MOST_NAMED]
    return lines + [
        f"{case.place} is {by_header} by its header, but is taken for {modality}: check --modality"
        for (by_header, modality), case in said.items()
        if modality != by_header and {modality, by_header} & set(_TOLD_BY_DICOM)
    ]
