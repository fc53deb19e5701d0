"""Is the modality of a held-out image found, and an image that resembles no member said to be unknown?

For each of the first two folds of four public data sets (benchmarks/README.md) the classifier is fitted on the training
cases and applied to the held-out ones, and to three images of other data sets. Then it is fitted without one data set
after the other, which comes as an addition whose looks are those of a single training case, or of all.

    python benchmarks/modality.py [FOLDER]    (which has raw/Dataset301_... and extra; a minute)
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Row, parser, report

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.files import read_json
from hermes_nnunet.data.dicom.folder import read_folder
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.planning.modality.features import image_features
from hermes_nnunet.planning.modality.finder import FoundModality, ModalityFinder
from hermes_nnunet.planning.modality.fitting import MeasuredCase, fit, looks_of_cases
from hermes_nnunet.prediction.image_sources import DicomSource

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
MODALITIES = {
    "Dataset301_HeadNeckCord": "CT",
    "Dataset302_HeadNeckParotid": "CT",
    "Dataset303_CardiacCine": "cineMRI",
    "Dataset304_LeftAtriumLGE": "LGE-MRI",
}
FOLDS = (0, 1)

Cases = Mapping[str, Mapping[str, MeasuredCase]]
Splits = Mapping[str, Sequence[Mapping[str, Any]]]
Images = Sequence[tuple[str, np.ndarray]]


def measured(path: Path) -> np.ndarray:
    """Features of an image."""
    image, properties = HermesImageIO().read_images([str(path)])
    return image_features(image[0], properties["spacing"], path.name)


def patient_of(case: str) -> str:
    """The first two parts of the name: cine_007_01 and cine_007_02 are of one patient."""
    return "_".join(case.split("_")[:2])


def cases_of(raw: Path) -> dict[str, dict[str, MeasuredCase]]:
    """Data set -> case -> its features."""
    found: dict[str, dict[str, MeasuredCase]] = {}
    for dataset, modality in MODALITIES.items():
        for path in sorted((raw / dataset / "imagesTr").glob("*.nii.gz")):
            case = path.name.removesuffix("_0000.nii.gz")
            own = MeasuredCase(dataset, modality, patient_of(case), measured(path))
            found.setdefault(dataset, {})[case] = own
    return found


def unlike_all(extra: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and features of images that no member resembles; of a DICOM series as if it had no header."""
    for path in sorted(extra.glob("*.nii.gz")):
        yield path.name, measured(path)
    with tempfile.TemporaryDirectory() as folder:
        for series in read_folder(extra).series:
            source = DicomSource("series", series)
            yield series.paths[0].parent.name, measured(source.image_files(Path(folder))[0])


def finders(fold: int, cases: Cases, splits: Splits) -> Iterator[tuple[str, ModalityFinder]]:
    """What was added, and what it was added to: nothing, and each data set with one and with all cases."""
    training = {dataset: [cases[dataset][case] for case in own[fold]["train"]] for dataset, own in splits.items()}
    yield "nothing", ModalityFinder(fit([case for own in training.values() for case in own]))
    for added, own in training.items():
        of_base = fit([case for dataset, others in training.items() if dataset != added for case in others])
        for number in (1, len(own)):
            yield f"{added}, cases: {number}", ModalityFinder(of_base, looks_of_cases(own[:number]))


def rows_of(
    added: str, finder: ModalityFinder, fold: int, cases: Cases, splits: Splits, others: Images
) -> Iterator[Row]:
    """A row for the held-out cases of each data set, and one for all images that resemble none."""
    for dataset, own in splits.items():
        held_out = [cases[dataset][case] for case in own[fold]["val"]]
        found = [finder.of_features(case.features, case.patient) for case in held_out]
        yield row_of(fold, added, dataset, found, MODALITIES[dataset])
    found = [finder.of_features(features, name) for name, features in others]
    yield row_of(fold, added, "other data sets", found, UNKNOWN_MODALITY)


def row_of(fold: int, added: str, images: str, found: Sequence[FoundModality], expected: str) -> Row:
    """How many images were told rightly; a wrong one is one that is not in doubt either."""
    right = [one for one in found if one.modality == expected]
    return {
        "fold": fold,
        "added": added,
        "images": images,
        "held out": len(found),
        "right": len(right),
        "right and sure": sum(one.sure for one in right),
        "wrong and sure": sum(one.sure for one in found) - sum(one.sure for one in right),
        "taken for": ", ".join(sorted({one.modality for one in found})),
        "least sure": min(one.probability or 0.0 for one in found),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/modality.json."""
    made = parser(__doc__, repeats=1)
    made.add_argument("source", type=Path, nargs="?", default=SHARED, help="folder of the images (%(default)s)")
    arguments = made.parse_args(argv)
    raw = arguments.source / "raw"
    if not raw.is_dir():
        made.exit(message=f"modality: there are no images in {raw}: give their folder\n")
    cases = cases_of(raw)
    splits = {dataset: read_json(raw / dataset / "splits_final.json", "choose another folder") for dataset in cases}
    others = list(unlike_all(arguments.source / "extra"))
    rows = [
        row
        for fold in FOLDS
        for added, finder in finders(fold, cases, splits)
        for row in rows_of(added, finder, fold, cases, splits, others)
    ]
    report("modality", __doc__, {"folds": list(FOLDS)}, rows, arguments)


if __name__ == "__main__":
    main()
