"""Cases that must stay on one side of every fold: those of one patient, and those with the same image."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

# A case of a member, or a patient of one.
Node = tuple[str, str]


@dataclass(frozen=True)
class LinkedCase:
    """What links a case of a member to others.

    Attributes:
        images: hashes of its images; an empty one links nothing.
    """

    member: str
    name: str
    patient: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Links:
    """Patients of members, joined where they have an image in common or, if members share patients, a name.

    Attributes:
        groups: member -> case -> what no fold may part: the first in alphabetical order of the member's patients that
            are linked to each other.
        bonds: (member, group) -> number that the group has in all members; only for groups of several members.
        same_images: members (one of them, or several) -> number of images that are in more than one of their cases.
        same_patients: number of patients that several members have by name.
        alike: members all of whose patients are linked to each other by images. No fold could have both halves, so
            these images link nothing.
    """

    groups: Mapping[str, Mapping[str, str]]
    bonds: Mapping[Node, int] = field(default_factory=dict)
    same_images: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    same_patients: int = 0
    alike: tuple[str, ...] = ()


def link(cases: Sequence[LinkedCase], sharing: Collection[str] = ()) -> Links:
    """Find what links cases.

    Args:
        sharing: members in which one name of a patient means one person.
    """
    links = _link(cases, sharing)
    patients = {member: {case.patient for case in cases if case.member == member} for member in links.groups}
    alike = tuple(
        member for member, groups in links.groups.items() if len(set(groups.values())) == 1 < len(patients[member])
    )
    if not alike:
        return links
    apart = [replace(case, images=()) if case.member in alike else case for case in cases]
    return replace(_link(apart, sharing), alike=alike)


def _link(cases: Sequence[LinkedCase], sharing: Collection[str]) -> Links:
    patients = sorted({(case.member, case.patient) for case in cases})
    root: dict[Node, Node] = {patient: patient for patient in patients}

    def find(node: Node) -> Node:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    of_image: dict[str, list[LinkedCase]] = defaultdict(list)
    for case in cases:
        for image in set(case.images) - {""}:
            of_image[image].append(case)
    of_name: dict[str, list[Node]] = defaultdict(list)
    for member, patient in patients:
        if member in sharing:
            of_name[patient].append((member, patient))
    alike = [several for several in of_image.values() if len(several) > 1]
    by_image = [[(case.member, case.patient) for case in several] for several in alike]
    for nodes in (*by_image, *of_name.values()):
        for one, other in pairwise(nodes):
            first, second = sorted((find(one), find(other)))
            root[second] = first
    return Links(
        groups=_groups(cases, {patient: find(patient) for patient in patients}),
        bonds=_bonds({patient: find(patient) for patient in patients}),
        same_images=Counter(tuple(sorted({case.member for case in several})) for several in alike),
        same_patients=sum(len(nodes) > 1 for nodes in of_name.values()),
    )


def _groups(cases: Iterable[LinkedCase], roots: Mapping[Node, Node]) -> dict[str, dict[str, str]]:
    group_of: dict[tuple[str, Node], str] = {}
    for (member, patient), root in sorted(roots.items()):
        group_of.setdefault((member, root), patient)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for case in cases:
        groups[case.member][case.name] = group_of[case.member, roots[case.member, case.patient]]
    return dict(groups)


def _bonds(roots: Mapping[Node, Node]) -> dict[Node, int]:
    nodes_of: dict[Node, list[Node]] = defaultdict(list)
    for node, root in sorted(roots.items()):
        nodes_of[root].append(node)
    bonds: dict[Node, int] = {}
    for number, nodes in enumerate(nodes_of.values()):
        # The first of a member's patients names their group.
        first_of = dict(reversed(nodes))
        if len(first_of) > 1:
            bonds.update({(member, first_of[member]): number for member in sorted(first_of)})
    return bonds
