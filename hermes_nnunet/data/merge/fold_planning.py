"""Folds of a collection: members' own where they have some, the rest made to agree with them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hermes_nnunet.data.merge.folds import (
    Fold,
    join_folds,
    make_folds,
    number_of_folds,
    part_from_validated,
)
from hermes_nnunet.data.merge.linking import Links


@dataclass(frozen=True)
class CollectionFolds:
    """What splits_final.json will hold.

    Attributes:
        lost: cases that each fold does not train on, because they are validated under another name.
        links: what was kept on one side of every fold.
    """

    folds: list[Fold]
    lost: list[int]
    links: Links


def collection_folds(
    own: Mapping[str, Sequence[Fold] | None], links: Links, identifiers: Mapping[str, Mapping[str, Sequence[str]]]
) -> CollectionFolds:
    """Folds of the collection, with a member's linked cases on the side where other members have theirs.

    Args:
        own: member -> its own folds, in names of its own cases; None where they are to be made.
        identifiers: member -> own case -> its cases in the collection.

    Raises:
        HermesError: a member has one patient only, or nothing to train on.
    """
    number = number_of_folds(list(own.values()))
    validated: dict[int, list[bool]] = {}
    folds_of: dict[str, Sequence[Fold]] = {}
    # Those that are given come first, so that the others can agree with them.
    for member in sorted(own, key=lambda name: own[name] is None):
        groups = links.groups[member]
        cases_of: dict[str, set[str]] = defaultdict(set)
        for case, group in groups.items():
            cases_of[group].add(case)
        bonds = {group: links.bonds[member, group] for group in cases_of if (member, group) in links.bonds}
        settled = {group: validated[bond] for group, bond in bonds.items() if bond in validated}
        folds = own[member]
        folds_of[member] = folds = make_folds(member, groups, number, settled) if folds is None else folds
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
    folds, lost = part_from_validated(joined, bond_of, member_of)
    return CollectionFolds(folds, lost, links)


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
