"""Folds in which every member has both halves and no patient is parted."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError

SPLITS_FILE = "splits_final.json"
DEFAULT_FOLDS = 5
# nnU-Net's own seed.
SEED = 12345

Fold = dict[str, list[str]]


def read_own_folds(path: Path, patients: Mapping[str, str]) -> list[Fold]:
    """A member's splits_final.json; `patients` tells the patient of each of its cases.

    Raises:
        HermesError: it names an unknown case, leaves a half empty, has a case in both halves or parts a patient.
    """
    splits = read_json(path, "mend it, or remove it to have folds made")
    if not isinstance(splits, list) or not splits or not all(_is_fold(split) for split in splits):
        raise HermesError(
            f'{path} must be a list of folds, each {{"train": [cases], "val": [cases]}}: mend it, or remove it to have '
            "folds made"
        )
    for number, split in enumerate(splits):
        _check_fold(split, patients, f"{path}, fold {number}")
    return [{half: list(split[half]) for half in ("train", "val")} for split in splits]


def _is_fold(split: Any) -> bool:
    return isinstance(split, dict) and all(
        isinstance(split.get(half), list) and all(isinstance(case, str) for case in split[half])
        for half in ("train", "val")
    )


def _check_fold(split: Fold, patients: Mapping[str, str], where: str) -> None:
    remedy = "mend it, or remove the file to have folds made"
    for half in ("train", "val"):
        unknown = sorted(set(split[half]) - set(patients))
        if unknown:
            raise HermesError(f"{where}: {half} names {listed(unknown)}, which the data set does not have: {remedy}")
        if not split[half]:
            raise HermesError(f"{where}: {half} is empty: {remedy}")
    both = sorted(set(split["train"]) & set(split["val"]))
    if both:
        raise HermesError(f"{where}: {listed(both)} in both train and val: {remedy}")
    parted = sorted({patients[case] for case in split["train"]} & {patients[case] for case in split["val"]})
    if parted:
        raise HermesError(
            f"{where}: cases of patient {listed(parted)} are in both train and val: {remedy}, or change patient_pattern"
        )


def make_folds(member: str, patients: Mapping[str, str], number: int) -> list[Fold]:
    """Seeded folds by patient, as even as nnU-Net's; a member with fewer patients than folds has as many as patients.

    Raises:
        HermesError: there is one patient only.
    """
    from sklearn.model_selection import KFold

    names = sorted(set(patients.values()))
    if len(names) < 2:
        raise HermesError(
            f"member {member} has one patient only ({names[0]}), who cannot be both trained on and validated on: "
            "correct its patient_pattern, or leave the member out"
        )
    # A collection of one fold takes the first of these.
    parts = number if number > 1 else DEFAULT_FOLDS
    splitter = KFold(n_splits=min(parts, len(names)), shuffle=True, random_state=SEED)
    return [
        {"train": _cases_of(patients, {names[i] for i in train}), "val": _cases_of(patients, {names[i] for i in val})}
        for train, val in splitter.split(names)
    ]


def _cases_of(patients: Mapping[str, str], chosen: Collection[str]) -> list[str]:
    return [case for case, patient in sorted(patients.items()) if patient in chosen]


def number_of_folds(own: Sequence[Sequence[Fold] | None]) -> int:
    """The largest number among the members' own folds, else nnU-Net's."""
    return max((len(folds) for folds in own if folds is not None), default=DEFAULT_FOLDS)


def join_folds(
    member_folds: Sequence[Sequence[Fold]], identifiers: Sequence[Mapping[str, Sequence[str]]], number: int
) -> list[Fold]:
    """Folds of the collection; a member with k folds takes part in fold i with its fold i % k.

    Args:
        member_folds: each member's folds, in names of its own cases.
        identifiers: for each member, own case -> its cases in the collection.
        number: of folds of the collection.
    """
    return [
        {
            half: [
                identifier
                for folds, of_case in zip(member_folds, identifiers, strict=True)
                for case in sorted(folds[fold % len(folds)][half])
                for identifier in of_case[case]
            ]
            for half in ("train", "val")
        }
        for fold in range(number)
    ]
