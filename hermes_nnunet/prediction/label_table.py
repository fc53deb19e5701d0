"""What the values of a segmentation mean: for people, nnU-Net, ITK-SNAP and 3D Slicer."""

from collections.abc import Sequence
from pathlib import Path

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.pictures.labels import Label

ITK_SNAP_FILE = "labels.txt"
SLICER_FILE = "labels.ctbl"


def write_colour_tables(labels: Sequence[Label], folder: Path) -> None:
    """Write ITK-SNAP's label descriptions (labels.txt) and 3D Slicer's colour table (labels.ctbl)."""
    with written_beside(folder / ITK_SNAP_FILE) as temporary:
        temporary.write_text(_itk_snap(labels), encoding="utf-8")
    with written_beside(folder / SLICER_FILE) as temporary:
        temporary.write_text(_slicer(labels), encoding="utf-8")


def remove_colour_tables(folder: Path) -> None:
    """Remove them, where they are there."""
    for name in (ITK_SNAP_FILE, SLICER_FILE):
        (folder / name).unlink(missing_ok=True)


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
