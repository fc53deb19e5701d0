"""A task in a segmentation, with the colour that it has in every picture and table."""

import colorsys
from dataclasses import dataclass
from typing import Any

# Bright, to be seen on grey.
PALETTE = ("#ffb000", "#3fa9ff", "#ff4f8b", "#00d69e", "#c59bff", "#ff3b30", "#7ce0ff", "#d4ff4d")

_GOLDEN_ANGLE = 0.618033988749895


@dataclass(frozen=True)
class Label:
    """A task in a segmentation.

    Attributes:
        name: of the task.
        value: what its voxels have in a label map, unless a task within it, or one with a higher score, has them.
        values: all values of its voxels; more than one for a region that has other tasks within it.
        member: whose task it is; where several share it, one that knows the modality.
        colour: #rrggbb.
    """

    name: str
    value: int
    values: tuple[int, ...]
    member: str
    colour: str

    @property
    def own_name(self) -> str:
        """Its name in its member's own data set."""
        return self.name.removeprefix(f"{self.member}/")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """0..255."""
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return red, green, blue

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "values": list(self.values)}


def colour_of(place: int) -> str:
    """A colour for the task at a place of the task pool, so that a task looks the same in every segmentation."""
    if place < len(PALETTE):
        return PALETTE[place]
    turn = place - len(PALETTE)
    lightness, saturation = ((0.62, 0.85), (0.75, 0.6), (0.5, 0.7))[turn % 3]
    rgb = colorsys.hls_to_rgb(turn * _GOLDEN_ANGLE % 1, lightness, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
