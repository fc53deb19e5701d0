"""The labels of a data set, as its dataset.json declares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hermes_nnunet.errors import HermesError
from hermes_nnunet.schema import shown

# The largest value that a label file of type uint16 can hold.
LARGEST_OWN_VALUE = 65535


@dataclass(frozen=True)
class OwnLabel:
    """A label: the values that belong to it, and the one that marks it in a segmentation."""

    name: str
    values: tuple[int, ...]
    written_value: int

    @property
    def is_region(self) -> bool:
        return len(self.values) > 1


@dataclass(frozen=True)
class OwnLabels:
    """All labels of a data set but background, in its order, and its ignore value where it has one."""

    labels: tuple[OwnLabel, ...]
    ignore: int | None

    @property
    def known_values(self) -> frozenset[int]:
        """Every value that a label file may hold."""
        values = {0, *(value for label in self.labels for value in label.values)}
        return frozenset(values if self.ignore is None else values | {self.ignore})


def read_own_labels(dataset_json: Mapping[str, Any], where: str) -> OwnLabels:
    """Labels of a dataset.json that `where` names in messages.

    Raises:
        HermesError: the labels are missing or such that nnU-Net, or a merge, could not tell them apart.
    """
    declared = dataset_json.get("labels")
    if not isinstance(declared, dict) or not declared:
        raise HermesError(
            f'{where} has no labels: add them as nnU-Net wants, for example "labels": {{"background": 0, "liver": 1}}'
        )
    if "background" not in declared or _is_integer(declared["background"]) is False or declared["background"] != 0:
        raise HermesError(f'{where} does not declare background as 0: add "background": 0 to its labels')
    ignore = declared.get("ignore")
    if ignore is not None and not (_is_integer(ignore) and 0 < ignore <= LARGEST_OWN_VALUE):
        raise HermesError(f"{where}: ignore is {shown(ignore)}: it must be one value above all others")
    values = {
        name: _values(name, declared_values, where)
        for name, declared_values in declared.items()
        if name not in ("background", "ignore")
    }
    _check_distinct(values, ignore, where)
    written = _written_values(values, dataset_json.get("regions_class_order"), where)
    return OwnLabels(tuple(OwnLabel(name, values[name], written[name]) for name in values), ignore)


def _values(name: str, declared: Any, where: str) -> tuple[int, ...]:
    values = declared if isinstance(declared, list) else [declared]
    if not values or not all(_is_integer(value) and 1 <= value <= LARGEST_OWN_VALUE for value in values):
        raise HermesError(
            f"{where}: label {name} is {shown(declared)}: give whole numbers from 1 to {LARGEST_OWN_VALUE}, one or "
            "a list"
        )
    return tuple(sorted(set(values)))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_distinct(values: Mapping[str, tuple[int, ...]], ignore: int | None, where: str) -> None:
    regions = any(len(own) > 1 for own in values.values())
    label_of: dict[int | tuple[int, ...], str] = {}
    for name, own in values.items():
        if ignore in own:
            raise HermesError(f"{where}: label {name} holds the ignore value {ignore}: give ignore a value of its own")
        # Regions may overlap, but two with the very same voxels would be one task with two names.
        key = own if regions else own[0]
        if key in label_of:
            raise HermesError(
                f"{where}: labels {label_of[key]} and {name} are both {list(own) if len(own) > 1 else own[0]}: "
                "keep one of them"
            )
        label_of[key] = name


def _written_values(values: Mapping[str, tuple[int, ...]], order: Any, where: str) -> dict[str, int]:
    if all(len(own) == 1 for own in values.values()):
        return {name: own[0] for name, own in values.items()}
    if not isinstance(order, list) or len(order) != len(values):
        raise HermesError(
            f"{where} has regions, so regions_class_order must list one value for each of its {len(values)} labels "
            f"beside background, not {shown(order)}"
        )
    written = dict(zip(values, order, strict=True))
    for name, value in written.items():
        if value not in values[name]:
            raise HermesError(
                f"{where}: regions_class_order marks {name} with {shown(value)}, which is none of its values "
                f"{list(values[name])}: choose one of them"
            )
    return written
