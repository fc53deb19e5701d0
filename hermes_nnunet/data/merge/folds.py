"""Folds in which every member has both halves and no patient is parted."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hermes_nnunet.core.nnunet_files import read_splits
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
    splits = read_splits(path, "mend it, or remove it to have folds made")
    for number, split in enumerate(splits):
        _check_fold(split, patients, f"{path}, fold {number}")
    return [{half: list(split[half]) for half in ("train", "val")} for split in splits]


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


def make_folds(
    member: str, patients: Mapping[str, str], number: int, validated: Mapping[str, Sequence[bool]] | None = None
) -> list[Fold]:
    """Seeded folds by patient, as even as nnU-Net's; a member with fewer patients than folds has as many as patients.

    Args:
        patients: case -> patient, or whatever else no fold may part.
        number: of folds of the collection.
        validated: patient -> for each of these folds, whether other members have the patient in its validation half.
            The folds agree with that, unless a half would be empty.

    Raises:
        HermesError: there is one patient only.
    """
    names = sorted(set(patients.values()))
    if len(names) < 2:
        raise HermesError(
            f"member {member} has one patient only ({names[0]}), who cannot be both trained on and validated on: "
            "correct its patient_pattern, or leave the member out"
        )
    # A collection of one fold takes the first of these.
    parts = number if number > 1 else DEFAULT_FOLDS
    halves = _agreeing(names, parts, number, validated) if validated else []
    if not halves or not all(0 < len(chosen) < len(names) for chosen in halves):
        halves = _even(names, min(parts, len(names)))
    return [{"train": _cases_of(patients, {*names} - chosen), "val": _cases_of(patients, chosen)} for chosen in halves]


def _even(names: Sequence[str], parts: int) -> list[set[str]]:
    """Patients that each fold validates, as nnU-Net divides them."""
    from sklearn.model_selection import KFold

    splitter = KFold(n_splits=parts, shuffle=True, random_state=SEED)
    return [{names[index] for index in chosen} for _, chosen in splitter.split(names)]


def _agreeing(names: Sequence[str], parts: int, number: int, validated: Mapping[str, Sequence[bool]]) -> list[set[str]]:
    """Patients that each of `number` folds validates: those that others do, and the rest where fewest are."""
    chosen: list[set[str]] = [set() for _ in range(parts)]
    for name, of_fold in validated.items():
        for fold, is_validated in enumerate(of_fold):
            if is_validated:
                chosen[fold].add(name)
    free = [name for name in names if name not in validated]
    for index in np.random.RandomState(SEED).permutation(len(free)):
        min(chosen, key=len).add(free[index])
    return chosen[:number]


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


def part_from_validated(
    folds: Sequence[Fold], bonds: Mapping[str, Hashable], member_of: Mapping[str, str]
) -> tuple[list[Fold], list[int]]:
    """Take out of training what is validated under another name: members' own folds may disagree.

    Args:
        bonds: case -> what it has in common with cases of the same patient or image, and with no others.
        member_of: case -> member.

    Returns:
        The folds, and the number of cases that each of them lost.

    Raises:
        HermesError: a member would have nothing to train on.
    """
    parted, lost = [], []
    for number, fold in enumerate(folds):
        validated = {bonds[case] for case in fold["val"]}
        train = [case for case in fold["train"] if bonds[case] not in validated]
        gone = Counter(member_of[case] for case in fold["train"])
        gone.subtract(member_of[case] for case in train)
        for member, count in gone.items():
            if count and not any(member_of[case] == member for case in train):
                raise HermesError(
                    f"all {count} training cases of member {member} in fold {number} are validated as cases of other "
                    f"members (same images or patients): remove {SPLITS_FILE} of one of them to have folds made that "
                    "agree, or leave one out"
                )
        parted.append({"train": train, "val": list(fold["val"])})
        lost.append(len(fold["train"]) - len(train))
    return parted, lost
