"""Fitting the classifier of modalities on the cases of a collection."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nnunetv2.configuration import default_num_processes
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.evenly import evenly_chosen
from hermes_nnunet.core.processes import available_cores, map_cases
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import Looks, MemberLook
from hermes_nnunet.planning.modality.classifier import ModalityClassifier
from hermes_nnunet.planning.modality.features import FEATURES, image_features

CASES_PER_MEMBER = 20
FEW_CASES = 8
_PATIENT_FOLDS = 5
# Inverse of the regularisation. With scikit-learn's 1 cases that are told rightly are not sure enough to go on.
STRENGTH = 10.0
# All features are shares, ratios or logarithms: what is alike in a member's few cases may differ by this in others.
SMALLEST_DEVIATION = 0.2
# What differs by less does so because numbers were rounded, and would count as much as all else.
SMALLEST_SCALE = 1e-4


@dataclass(frozen=True)
class MeasuredCase:
    """A training case.

    Attributes:
        features: FEATURES of its image.
    """

    member: str
    modality: str
    patient: str
    features: np.ndarray


@dataclass(frozen=True)
class CaseToMeasure:
    """What to read of a case."""

    member: str
    modality: str
    patient: str
    image: str
    reader: type[BaseReaderWriter]


def classifier_of(
    collection: Collection, files: Mapping[str, Mapping[str, Sequence[str]]], reader: type[BaseReaderWriter]
) -> tuple[ModalityClassifier | None, str]:
    """The classifier of a collection, and a line about it; None where there is nothing to measure.

    That of one modality tells apart what additions bring. The line is empty then.

    Args:
        files: by case, its 'images', as nnU-Net has them.
    """
    measured, missing = _measured_cases(collection, files, reader)
    if len({collection.cases[case].modality for case in files}) < 2:
        return (None if missing or not measured else fit(measured)), ""
    if missing:
        return None, (
            "The modality of an image will not be found by its looks: no case of "
            f"{listed(f'{modality} of {member}' for modality, member in missing)} has several slices and intensities"
        )
    classifier = fit(measured)
    tested = f"right in {classifier.right} of {classifier.tested} cases of a cross-validation"
    return (
        classifier,
        f"The modality of an image is found by its looks, {tested if classifier.tested else 'not tested'}",
    )


def looks_of(
    collection: Collection,
    files: Mapping[str, Mapping[str, Sequence[str]]],
    reader: type[BaseReaderWriter],
    processes: int | None = None,
) -> Looks | None:
    """What the images of a collection look like; None where nothing can be told of all images of a modality.

    Args:
        files: as of `classifier_of`.
        processes: see `measure`.
    """
    measured, missing = _measured_cases(collection, files, reader, processes)
    return None if missing or not measured else Looks(FEATURES, looks_of_cases(measured))


def _measured_cases(
    collection: Collection,
    files: Mapping[str, Mapping[str, Sequence[str]]],
    reader: type[BaseReaderWriter],
    processes: int | None = None,
) -> tuple[list[MeasuredCase], list[tuple[str, str]]]:
    """Cases of a collection, and (modality, member) of which none could be measured."""
    wanted = {(collection.cases[case].modality, collection.cases[case].member) for case in files}
    measured = measure(cases_to_measure(collection, files, reader), processes)
    return measured, sorted(wanted.difference((case.modality, case.member) for case in measured))


def cases_to_measure(
    collection: Collection, files: Mapping[str, Mapping[str, Sequence[str]]], reader: type[BaseReaderWriter]
) -> list[CaseToMeasure]:
    """At most CASES_PER_MEMBER of each modality of each member, evenly over their names; their first channels."""
    groups = defaultdict(list)
    for name in sorted(files):
        entry = collection.cases[name]
        groups[entry.member, entry.modality].append(name)
    chosen = []
    for names in groups.values():
        for name in evenly_chosen(names, CASES_PER_MEMBER):
            entry = collection.cases[name]
            patient = f"{entry.member}/{entry.patient}"
            chosen.append(CaseToMeasure(entry.member, entry.modality, patient, files[name]["images"][0], reader))
    return chosen


def measure(cases: Sequence[CaseToMeasure], processes: int | None = None) -> list[MeasuredCase]:
    """Read the images; those of which nothing can be told, such as single slices, are left out.

    Args:
        processes: None for as many as there are cores, if there are more than a few images.
    """
    if processes is None:
        processes = min(default_num_processes, available_cores()) if len(cases) > FEW_CASES else 1
    found = map_cases(
        _measured,
        cases,
        processes,
        "Measuring modalities",
        when_one_died="set the environment variable nnUNet_def_n_proc to a smaller number",
    )
    return [case for case in found if case is not None]


def _measured(case: CaseToMeasure) -> MeasuredCase | None:
    image, properties = case.reader().read_images([case.image])
    try:
        features = image_features(image[0], properties["spacing"], case.image)
    except HermesError:
        return None
    return MeasuredCase(case.member, case.modality, case.patient, features)


def fit(cases: Sequence[MeasuredCase]) -> ModalityClassifier:
    """Fit scikit-learn's logistic regression, and cross-validate it.

    A member is held out where there are others of its modality, and else some of the patients. Where all cases have the
    same modality, there is nothing to test.
    """
    features = np.stack([case.features for case in cases])
    modalities = np.array([case.modality for case in cases])
    names = sorted(set(modalities))
    tested, right = _cross_validated(features, modalities, _folds(cases))
    mean, scale, coefficients, intercepts = _regression(features, modalities)
    return ModalityClassifier(
        features=FEATURES,
        mean=_row(mean),
        scale=_row(scale),
        modalities=tuple(names),
        coefficients=tuple(_row(row) for row in coefficients),
        intercepts=_row(intercepts),
        looks=looks_of_cases(cases),
        tested=tested,
        right=right,
    )


def _cross_validated(features: np.ndarray, modalities: np.ndarray, folds: Sequence[np.ndarray]) -> tuple[int, int]:
    """How many cases could be held out, and of how many the modality was told rightly."""
    tested = right = 0
    for held_out in folds:
        names = np.unique(modalities[~held_out])
        if len(names) < 2 or not set(modalities[held_out]) <= set(names):
            continue
        mean, scale, coefficients, intercepts = _regression(features[~held_out], modalities[~held_out])
        scores = (features[held_out] - mean) / scale @ coefficients.T + intercepts
        tested += len(scores)
        right += int((names[scores.argmax(axis=1)] == modalities[held_out]).sum())
    return tested, right


def _regression(features: np.ndarray, modalities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and scale of the features, a row of coefficients and an intercept for each modality in order of names."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    mean, scale = scaler.mean_, np.maximum(scaler.scale_, SMALLEST_SCALE)
    if len(set(modalities)) == 1:
        return mean, scale, np.zeros_like(features[:1]), np.zeros(1)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000).fit(
        (features - mean) / scale, modalities
    )
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # of two modalities scikit-learn has the second only
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    return mean, scale, coefficients, intercepts


def _folds(cases: Sequence[MeasuredCase]) -> list[np.ndarray]:
    """Masks of cases to hold out."""
    members_of = defaultdict(set)
    for case in cases:
        members_of[case.modality].add(case.member)
    held_out = defaultdict(list)
    patients: dict[tuple[str, str], int] = {}
    for index, case in enumerate(cases):
        if len(members_of[case.modality]) > 1:
            held_out[case.modality, case.member].append(index)
        else:
            of_modality = sum(modality == case.modality for modality, _ in patients)
            number = patients.setdefault((case.modality, case.patient), of_modality)
            held_out["", str(number % _PATIENT_FOLDS)].append(index)
    masks = np.zeros((len(held_out), len(cases)), bool)
    for mask, indices in zip(masks, held_out.values(), strict=True):
        mask[indices] = True
    return list(masks)


def looks_of_cases(cases: Sequence[MeasuredCase]) -> tuple[MemberLook, ...]:
    """A look for each modality of each member."""
    groups = defaultdict(list)
    for case in cases:
        groups[case.member, case.modality].append(case.features)
    return tuple(
        MemberLook(
            member,
            modality,
            _row(np.mean(features, axis=0)),
            _row(np.maximum(np.std(features, axis=0), SMALLEST_DEVIATION)),
        )
        for (member, modality), features in sorted(groups.items())
    )


def _row(numbers: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, numbers))
