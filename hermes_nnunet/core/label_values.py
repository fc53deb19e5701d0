"""The labels of a dataset.json that are scored and drawn."""

from collections.abc import Mapping

IGNORE = "ignore"


def foreground_values(labels: Mapping[str, int | list[int]]) -> dict[str, tuple[int, ...]]:
    """Values of each label and region, without background and the ignore label."""
    values = {name: (value,) if isinstance(value, int) else tuple(value) for name, value in labels.items()}
    return {name: value for name, value in values.items() if name != IGNORE and value != (0,)}
