"""Which labels each case of a member annotates, where that is not all of them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.processes import default_processes, map_cases
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.data.merge.own_labels import OwnLabels
from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import Text, checked

# Key of a data set's own dataset.json: case -> labels.
ANNOTATED_KEY = "hermes_annotated"
# Key of a data set's own dataset.json: what made its labels, if a model has. Nothing is validated on such labels.
PSEUDO_LABELS_KEY = "hermes_pseudo_labels"
COLUMNS = ("case", "labels")
# Between the labels of a line of a CSV file.
LABEL_SEPARATOR = ";"

_LabelsOfCases = dict[Text, list[Text]]
_EXAMPLE = 'give each case a list of labels, for example {"case_1": ["liver"]}'

UNLABELLED_REMEDY = "name its labels, or say under unlabelled that it has none"


@dataclass(frozen=True)
class Saying:
    """What one place says of one case: the place, for messages, and the labels."""

    where: str
    case: str
    labels: tuple[str, ...]


def unlabelled_cases(unlabelled: bool | Sequence[str], cases: Sequence[str], member: str) -> frozenset[str]:
    """Cases that have no labels: all, none, or those whose names match one of the patterns.

    Raises:
        HermesError: a pattern matches no case.
    """
    if isinstance(unlabelled, bool):
        return frozenset(cases if unlabelled else ())
    return frozenset(
        case for pattern in unlabelled for case in _matching(pattern, cases, f"unlabelled of member {member}")
    )


def sayings_of_patterns(patterns: Mapping[str, Sequence[str]], cases: Sequence[str], member: str) -> list[Saying]:
    """What patterns of case names (as in a shell: `*`, `?`, `[ab]`) say.

    Raises:
        HermesError: a pattern matches no case.
    """
    return [
        Saying(f"pattern '{pattern}' under annotated of member {member}", case, tuple(labels))
        for pattern, labels in patterns.items()
        for case in _matching(pattern, cases, f"annotated of member {member}")
    ]


def sayings_of_table(path: Path) -> list[Saying]:
    """What a CSV file says: columns case and labels, the labels separated by semicolons.

    Raises:
        HermesError: it cannot be read or has other columns.
    """
    example = f"give it the columns {','.join(COLUMNS)}, with lines such as case_1,liver{LABEL_SEPARATOR}spleen"
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HermesError(f"annotated: {path} cannot be read ({error}): {example}") from None
    if not rows or [cell.strip() for cell in rows[0]] != list(COLUMNS):
        raise HermesError(f"annotated: the first line of {path} is {','.join(rows[0] if rows else ())!r}: {example}")
    sayings = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(COLUMNS):
            raise HermesError(f"annotated: {path}, line {number} has {len(row)} columns: {example}")
        labels = tuple(label.strip() for label in row[1].split(LABEL_SEPARATOR) if label.strip())
        sayings.append(Saying(f"{path}, line {number}", row[0].strip(), labels))
    return sayings


def sayings_of_dataset(dataset_json: Mapping[str, Any], where: str) -> list[Saying]:
    """What a member's own dataset.json says.

    Raises:
        HermesError: its entry is no mapping of cases to lists of labels.
    """
    said = checked(_LabelsOfCases, dataset_json.get(ANNOTATED_KEY, {}), where, _EXAMPLE, inside=ANNOTATED_KEY)
    return [Saying(f"{ANNOTATED_KEY} of {where}", case, tuple(labels)) for case, labels in said.items()]


def has_pseudo_labels(dataset_json: Mapping[str, Any], where: str) -> bool:
    """Whether a member's own dataset.json says that a model has made its labels.

    Raises:
        HermesError: its entry is no record of what made them.
    """
    if PSEUDO_LABELS_KEY not in dataset_json:
        return False
    record = dataset_json[PSEUDO_LABELS_KEY]
    checked(dict[Text, Any], record, where, "take the entry out if people made the labels", inside=PSEUDO_LABELS_KEY)
    return True


def sayings_of_files(label_files: Mapping[str, Path], labels: OwnLabels, spacing_from: str | None) -> list[Saying]:
    """What label files show: every label that has a voxel. Files that cannot be read are left to the merge's checks."""
    items = [(path, spacing_from) for path in label_files.values()]
    found = map_cases(values_of_file, items, default_processes(), "Looking for labels")
    return [
        Saying(str(path), case, tuple(label.name for label in labels.labels if values.intersection(label.values)))
        for (case, path), values in zip(label_files.items(), found, strict=True)
        if values is not None
    ]


def values_of_file(item: tuple[Path, str | None]) -> set[int] | None:
    """Whole numbers in a label file; None where it cannot be read.

    Args:
        item: the file, and what decides the spacing where a header says two.
    """
    try:
        return {int(value) for value in np.unique(open_image(*item).labels()) if value == int(value)}
    except (HermesError, ValueError, OverflowError):
        return None


def annotated_labels(
    sayings: Iterable[Saying], cases: Sequence[str], labels: OwnLabels, unlabelled: frozenset[str], member: str
) -> dict[str, tuple[str, ...]]:
    """Labels of each case that does not annotate all of them, in the data set's order; none of an unlabelled one.

    Raises:
        HermesError: a case or label is not there, two places contradict each other, or a case annotates nothing though
            nobody says that it is unlabelled.
    """
    names = [label.name for label in labels.labels]
    known, known_labels = frozenset(cases), frozenset(names)
    first: dict[str, Saying] = {}
    for saying in sayings:
        if saying.case not in known:
            raise HermesError(
                f"{saying.where} names the case '{saying.case}'{did_you_mean(saying.case, cases)}, which member "
                f"{member} does not have: correct it"
            )
        for label in saying.labels:
            if label not in known_labels:
                raise HermesError(
                    f"{saying.where} names the label '{label}'{did_you_mean(label, names)}, which member {member} does "
                    f"not have: its labels are {listed(names)}"
                )
        before = first.setdefault(saying.case, saying)
        if set(before.labels) != set(saying.labels):
            raise HermesError(
                f"{before.where} says that case {saying.case} annotates {listed(before.labels) or 'nothing'}, and "
                f"{saying.where} says {listed(saying.labels) or 'nothing'}: correct one of them"
            )
        if saying.case in unlabelled and saying.labels:
            raise HermesError(
                f"{saying.where} says that case {saying.case} annotates {listed(saying.labels)}, and unlabelled of "
                f"member {member} that it has no labels: correct one of them"
            )
        if saying.case not in unlabelled and not saying.labels:
            raise HermesError(
                f"case {saying.case} of member {member} annotates nothing ({saying.where}): {UNLABELLED_REMEDY}"
            )
    some = {
        case: tuple(name for name in names if name in saying.labels)
        for case, saying in first.items()
        if case not in unlabelled and set(saying.labels) != set(names)
    }
    return {case: () if case in unlabelled else some[case] for case in cases if case in unlabelled or case in some}


def values_not_annotated(labels: OwnLabels, annotated: Sequence[str], left_out: Iterable[str]) -> dict[int, str]:
    """Values that a case's label file must not hold, each with the smallest label that says too much.

    A voxel of an annotated region has a value that also belongs to others where no other says the same: a case that
    annotates a tumour's core has to mark it within the whole tumour, but one that annotates the whole has no use for
    the core's values.

    Args:
        labels: of the data set.
        annotated: those that the case annotates.
        left_out: those that the merge makes background, wherever they are.
    """
    ignored = set(left_out)
    kept = [label for label in labels.labels if label.name not in ignored]
    sizes = {label.name: len(label.values) for label in kept}
    own: dict[int, set[str]] = {}
    others: dict[int, set[str]] = {}
    for value in {value for label in kept for value in label.values}:
        names = {label.name for label in kept if value in label.values}
        own[value], others[value] = names.intersection(annotated), names.difference(annotated)
    refused = {}
    for value in sorted(own):
        plainer = [others[other] for other in own if own[other] == own[value] and others[other] < others[value]]
        surplus = others[value].difference(plainer[0] if plainer else ()) if plainer or not own[value] else set()
        if surplus:
            refused[value] = min(surplus, key=lambda name: (sizes[name], name))
    return refused


def _matching(pattern: str, cases: Sequence[str], where: str) -> list[str]:
    found = [case for case in cases if fnmatchcase(case, pattern)]
    if not found:
        raise HermesError(
            f"{where}: pattern '{pattern}' matches no case{did_you_mean(pattern, cases)}: its cases are {listed(cases)}"
        )
    return found
