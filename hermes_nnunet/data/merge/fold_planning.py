"""Folds of a collection: members' own where they have some, the rest made to agree with them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.data.merge.folds import (
    Fold,
    join_folds,
    make_folds,
    number_of_folds,
    part_from_validated,
    with_unlabelled,
)
from hermes_nnunet.data.merge.linking import Links
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class Gap:
    """A task that no case annotates in one half of some folds.

    Attributes:
        half: "train" or "val".
        folds: their numbers.
        patients: how many of the member annotate the task at all.
    """

    member: str
    task: str
    half: str
    folds: tuple[int, ...]
    patients: int


@dataclass(frozen=True)
class CollectionFolds:
    """What splits_final.json will hold.

    Attributes:
        lost: cases that each fold does not train on, because they are validated under another name.
        links: what was kept on one side of every fold.
        gaps: tasks that folds do not train, or not validate.
    """

    folds: list[Fold]
    lost: list[int]
    links: Links
    gaps: tuple[Gap, ...] = ()


def collection_folds(
    own: Mapping[str, Sequence[Fold] | None],
    links: Links,
    identifiers: Mapping[str, Mapping[str, Sequence[str]]],
    annotated: Mapping[str, Mapping[str, Sequence[str]]],
) -> CollectionFolds:
    """Folds of the collection, with a member's linked cases on the side where other members have theirs.

    Args:
        own: member -> its own folds, in names of its own cases; None where they are to be made.
        identifiers: member -> own case -> its cases in the collection.
        annotated: member -> own case -> tasks that it annotates; none of an unlabelled one, which is trained on only.

    Raises:
        HermesError: a member has one patient only, or nothing to train on.
    """
    number = number_of_folds(list(own.values()))
    validated: dict[int, list[bool]] = {}
    folds_of: dict[str, Sequence[Fold]] = {}
    # Those that are given come first, so that the others can agree with them.
    for member in sorted(own, key=lambda name: own[name] is None):
        groups = links.groups[member]
        labelled = {case: group for case, group in groups.items() if annotated[member][case]}
        if not labelled:
            folds_of[member] = [{"train": sorted(groups), "val": []}]
            continue
        cases_of: dict[str, set[str]] = defaultdict(set)
        for case, group in labelled.items():
            cases_of[group].add(case)
        bonds = {group: links.bonds[member, group] for group in cases_of if (member, group) in links.bonds}
        settled = {group: validated[bond] for group, bond in bonds.items() if bond in validated}
        folds = own[member]
        if folds is None:
            folds = make_folds(member, labelled, number, settled, _labels_of_groups(labelled, annotated[member]))
        if len(labelled) < len(groups):
            folds = with_unlabelled(folds, groups, groups.keys() - labelled.keys())
            _check_validated(member, folds)
        folds_of[member] = folds
        in_validation = [set(fold["val"]) for fold in folds]
        for group, bond in bonds.items():
            sides = _validated(in_validation, cases_of[group], number)
            validated[bond] = [one or other for one, other in zip(sides, validated.get(bond, sides), strict=True)]
    joined = join_folds([folds_of[member] for member in own], list(identifiers.values()), number)
    bond_of = _bond_of_case(links, identifiers)
    member_of = {
        identifier: member
        for member, of_case in identifiers.items()
        for several in of_case.values()
        for identifier in several
    }
    unlabelled = {member for member, of_case in annotated.items() if not any(of_case.values())}
    folds, lost = part_from_validated(joined, bond_of, member_of, unlabelled)
    return CollectionFolds(folds, lost, links, tuple(_gaps(folds, identifiers, annotated, links)))


def _labels_of_groups(
    groups: Mapping[str, str], annotated: Mapping[str, Sequence[str]]
) -> dict[str, frozenset[str]] | None:
    """What the cases of each group annotate together; None where that is the same of all cases."""
    if len({frozenset(annotated[case]) for case in groups}) == 1:
        return None
    of_groups: dict[str, frozenset[str]] = {}
    for case, group in groups.items():
        of_groups[group] = of_groups.get(group, frozenset()).union(annotated[case])
    return of_groups


def _check_validated(member: str, folds: Sequence[Fold]) -> None:
    for number, fold in enumerate(folds):
        if not fold["val"]:
            raise HermesError(
                f"fold {number} of {SPLITS_FILE} of member {member} validates unlabelled cases only: mend it, or "
                "remove the file to have folds made"
            )


def _gaps(
    folds: Sequence[Fold],
    identifiers: Mapping[str, Mapping[str, Sequence[str]]],
    annotated: Mapping[str, Mapping[str, Sequence[str]]],
    links: Links,
) -> Iterator[Gap]:
    """Of members whose cases annotate different tasks."""
    halves = {half: [set(fold[half]) for fold in folds] for half in ("train", "val")}
    for member, of_case in annotated.items():
        if len({frozenset(tasks) for tasks in of_case.values()}) == 1:
            continue
        cases_of: dict[str, list[str]] = defaultdict(list)
        for case, tasks in of_case.items():
            for task in tasks:
                cases_of[task].append(case)
        for task, cases in cases_of.items():
            names = {identifier for case in cases for identifier in identifiers[member][case]}
            patients = len({links.groups[member][case] for case in cases})
            for half, of_folds in halves.items():
                without = tuple(number for number, there in enumerate(of_folds) if names.isdisjoint(there))
                if without:
                    yield Gap(member, task, half, without, patients)


def _validated(in_validation: Sequence[AbstractSet[str]], cases: AbstractSet[str], number: int) -> list[bool]:
    """Whether some of the cases are validated, for each fold of the collection."""
    return [not cases.isdisjoint(in_validation[fold % len(in_validation)]) for fold in range(number)]


def _bond_of_case(links: Links, identifiers: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """Case of the collection -> what it has in common with the cases that it is linked to."""
    bond_of: dict[str, tuple[str, ...]] = {}
    for member, of_case in identifiers.items():
        for case, several in of_case.items():
            group = links.groups[member][case]
            bond = links.bonds.get((member, group))
            for identifier in several:
                bond_of[identifier] = (member, group) if bond is None else (str(bond),)
    return bond_of
