"""Folds in which every member has both halves and no patient is parted."""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np

from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_splits
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError

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
    member: str,
    patients: Mapping[str, str],
    number: int,
    validated: Mapping[str, Sequence[bool]] | None = None,
    labels: Mapping[str, AbstractSet[str]] | None = None,
) -> list[Fold]:
    """Seeded folds by patient, as even as nnU-Net's; a member with fewer patients than folds has as many as patients.

    Where patients annotate different labels, every fold has each label in both halves if there are enough patients of
    it; one without whom a label would not be trained on is validated in no fold.

    Args:
        patients: case -> patient, or whatever else no fold may part.
        number: of folds of the collection.
        validated: patient -> for each of these folds, whether other members have the patient in its validation half.
            The folds agree with that, unless a half would be empty.
        labels: patient -> labels that the patient's cases annotate; None where all annotate all.

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
    halves = _agreeing(names, parts, number, validated, labels) if validated else []
    if not halves or not all(0 < len(chosen) < len(names) for chosen in halves):
        halves = _even(names, min(parts, len(names))) if labels is None else _even_by_label(names, parts, labels)
    return [{"train": _cases_of(patients, {*names} - chosen), "val": _cases_of(patients, chosen)} for chosen in halves]


def _even(names: Sequence[str], parts: int) -> list[set[str]]:
    """Patients that each fold validates, as nnU-Net divides them."""
    from sklearn.model_selection import KFold

    splitter = KFold(n_splits=parts, shuffle=True, random_state=SEED)
    return [{names[index] for index in chosen} for _, chosen in splitter.split(names)]


def _even_by_label(names: Sequence[str], parts: int, labels: Mapping[str, AbstractSet[str]]) -> list[set[str]]:
    """Patients that each fold validates, every label as evenly as possible."""
    needed = _indispensable(names, labels)
    spare = [name for name in names if name not in needed]
    if not spare:
        return _even(names, min(parts, len(names)))
    chosen: list[set[str]] = [set() for _ in range(min(parts, len(spare)))]
    _spread(spare, chosen, labels)
    return chosen


def _indispensable(names: Sequence[str], labels: Mapping[str, AbstractSet[str]]) -> set[str]:
    """Patients without whom a label would not be trained at all."""
    counts = Counter(label for name in names for label in labels[name])
    return {name for name in names if any(counts[label] == 1 for label in labels[name])}


def _spread(free: Sequence[str], chosen: Sequence[set[str]], labels: Mapping[str, AbstractSet[str]]) -> None:
    """Add patients to the sets, those of the rarest labels first, each where fewest are that have the label.

    This is iterative stratification (Sechidis et al., ECML PKDD 2011), but for patients of whom each set would have all
    that annotate some label: they are in none, so that whoever trains on the rest trains on every label.
    """
    total = Counter(label for of_patient in labels.values() for label in of_patient)
    shares = [Counter(label for name in own for label in labels[name]) for own in chosen]
    waiting = defaultdict(list)
    for index in np.random.RandomState(SEED).permutation(len(free)):
        for label in labels[free[index]]:
            waiting[label].append(free[index])
    left = Counter({label: len(names) for label, names in waiting.items()})
    settled: set[str] = set()
    while rest := sorted(label for label in left if left[label]):
        rarest = min(rest, key=lambda label: left[label])
        for name in waiting[rarest]:
            if name in settled:
                continue
            settled.add(name)
            left.subtract(labels[name])
            places = [
                place for place, share in enumerate(shares) if all(share[own] + 1 < total[own] for own in labels[name])
            ]
            if places:
                # Of places that are alike, the one with the fewest patients.
                place = min(places, key=lambda place: (shares[place][rarest], len(chosen[place])))
                chosen[place].add(name)
                shares[place].update(labels[name])


def _agreeing(
    names: Sequence[str],
    parts: int,
    number: int,
    validated: Mapping[str, Sequence[bool]],
    labels: Mapping[str, AbstractSet[str]] | None,
) -> list[set[str]]:
    """Patients that each of `number` folds validates: those that others do, and the rest where fewest are."""
    chosen: list[set[str]] = [set() for _ in range(parts)]
    for name, of_fold in validated.items():
        for fold, is_validated in enumerate(of_fold):
            if is_validated:
                chosen[fold].add(name)
    free = [name for name in names if name not in validated]
    if labels is not None:
        needed = _indispensable(names, labels)
        _spread([name for name in free if name not in needed], chosen, labels)
        return chosen[:number]
    for index in np.random.RandomState(SEED).permutation(len(free)):
        min(chosen, key=len).add(free[index])
    return chosen[:number]


def _cases_of(patients: Mapping[str, str], chosen: Collection[str]) -> list[str]:
    return [case for case, patient in sorted(patients.items()) if patient in chosen]


def with_unlabelled(folds: Sequence[Fold], patients: Mapping[str, str], unlabelled: Collection[str]) -> list[Fold]:
    """The same folds with all cases without labels in the training half, but for those of patients validated there.

    Args:
        patients: of all cases.
        unlabelled: cases without labels, which no half may validate.
    """
    extended = []
    for fold in folds:
        val = [case for case in fold["val"] if case not in unlabelled]
        validated = {patients[case] for case in val}
        train = [case for case in fold["train"] if case not in unlabelled]
        train += [case for case in sorted(unlabelled) if patients[case] not in validated]
        extended.append({"train": train, "val": val})
    return extended


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
    folds: Sequence[Fold],
    bonds: Mapping[str, Hashable],
    member_of: Mapping[str, str],
    unlabelled: Collection[str] = (),
) -> tuple[list[Fold], list[int]]:
    """Take out of training what is validated under another name: members' own folds may disagree.

    Args:
        bonds: case -> what it has in common with cases of the same patient or image, and with no others.
        member_of: case -> member.
        unlabelled: members that can do without training.

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
            if count and member not in unlabelled and not any(member_of[case] == member for case in train):
                raise HermesError(
                    f"all {count} training cases of member {member} in fold {number} are validated as cases of other "
                    f"members (same images or patients): remove {SPLITS_FILE} of one of them to have folds made that "
                    "agree, or leave one out"
                )
        parted.append({"train": train, "val": list(fold["val"])})
        lost.append(len(fold["train"]) - len(train))
    return parted, lost
