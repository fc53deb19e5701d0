"""What the values of a segmentation mean: for people, nnU-Net, ITK-SNAP and 3D Slicer."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hermes_nnunet.files import written_beside
from hermes_nnunet.pictures.overlay import PALETTE

ITK_SNAP_FILE = "labels.txt"
SLICER_FILE = "labels.ctbl"

_GOLDEN_ANGLE = 0.618033988749895


@dataclass(frozen=True)
class Label:
    """A task in a segmentation.

    Attributes:
        name: of the task.
        value: what its voxels have in a label map, unless a task within it, or one with a higher score, has them.
        values: all values of its voxels; more than one for a region that has other tasks within it.
        member: whose context it was segmented with.
        colour: #rrggbb.
    """

    name: str
    value: int
    values: tuple[int, ...]
    member: str
    colour: str

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


def write_colour_tables(labels: Sequence[Label], folder: Path) -> None:
    """Write ITK-SNAP's label descriptions (labels.txt) and 3D Slicer's colour table (labels.ctbl)."""
    with written_beside(folder / ITK_SNAP_FILE) as temporary:
        temporary.write_text(_itk_snap(labels), encoding="utf-8")
    with written_beside(folder / SLICER_FILE) as temporary:
        temporary.write_text(_slicer(labels), encoding="utf-8")


def _itk_snap(labels: Sequence[Label]) -> str:
    """A line a label: value, red, green, blue, opacity, whether it is shown, whether in 3D, name."""
    rows = [
        (0, (0, 0, 0), 0, 0, 0, "Clear Label"),
        *((label.value, label.rgb, 1, 1, 1, label.name) for label in labels),
    ]
    lines = [
        f'{value:5d} {red:5d} {green:4d} {blue:4d} {opacity:8d} {shown:2d} {mesh:2d}    "{_without(name, chr(34))}"'
        for value, (red, green, blue), opacity, shown, mesh, name in rows
    ]
    header = ["################################################", "# ITK-SnAP Label Description File"]
    header += ["# File format:", "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL", header[0]]
    return "\n".join([*header, *lines, ""])


def _slicer(labels: Sequence[Label]) -> str:
    """A line a label: value, name without spaces, red, green, blue, opacity."""
    lines = [f"{label.value} {'_'.join(label.name.split())} {' '.join(map(str, label.rgb))} 255" for label in labels]
    return "\n".join(["# 3D Slicer color table", "0 background 0 0 0 0", *lines, ""])


def _without(text: str, character: str) -> str:
    return text.replace(character, "'")
