"""Slices of held-out cases with what a handful of images have taught."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.core.files import written_beside

COLOURS = ("#00a000", "#d62728", "#1f77b4")
PERCENTILES = (2, 99)


@dataclass(frozen=True)
class Slice:
    """The axial slice of an image with most of a structure.

    Attributes:
        image: (rows, columns).
        masks: name -> (rows, columns).
        aspect: height of a voxel in relation to its width.
    """

    title: str
    image: np.ndarray
    masks: Mapping[str, np.ndarray]
    aspect: float


def slice_of(title: str, image: Path, truth: Path, found: Mapping[str, Path]) -> Slice:
    """The slice, seen from the feet, the patient's right on the left."""
    volume, reference, *others = (_canonical(file) for file in (image, truth, *found.values()))
    labels = np.asanyarray(reference.dataobj) == 1
    place = int(labels.sum((0, 1)).argmax())
    masks = {"truth": labels} | {
        name: np.asanyarray(other.dataobj) == 1 for name, other in zip(found, others, strict=True)
    }
    width, height, _ = reference.header.get_zooms()
    return Slice(
        title,
        _turned(np.asanyarray(volume.dataobj)[..., place]),
        {name: _turned(mask[..., place]) for name, mask in masks.items()},
        float(height / width),
    )


def draw(rows: Sequence[Sequence[Slice]], path: Path) -> None:
    """Outlines of every mask, a row of slices for each structure."""
    from matplotlib.figure import Figure
    from PIL import Image

    columns = max(map(len, rows))
    figure = Figure(figsize=(3.2 * columns, 3.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    names: list[str] = []
    for axis in axes.flat:
        axis.set_axis_off()
    for own, slices in zip(axes, rows, strict=True):
        for axis, one in zip(own, slices, strict=False):
            low, high = np.percentile(one.image, PERCENTILES)
            axis.imshow(one.image, cmap="gray", vmin=low, vmax=high, aspect=one.aspect)
            for colour, (name, mask) in zip(COLOURS, one.masks.items(), strict=False):
                if mask.any():
                    axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1)
                if name not in names:
                    names.append(name)
            axis.set_title(one.title, fontsize="small")
    for colour, name in zip(COLOURS, names, strict=False):
        axes[0, 0].plot([], [], color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=len(names))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90, format="png")
    with written_beside(path) as temporary:
        # A third of the bytes, for a page that loads it. The usual method would make greys of the outlines' colours.
        palette = Image.open(drawn).convert("RGB").quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette.save(temporary, format="png", optimize=True)


def _canonical(file: Path) -> nibabel.Nifti1Image:
    return nibabel.as_closest_canonical(nibabel.load(file))


def _turned(plane: np.ndarray) -> np.ndarray:
    """A plane (x to the patient's right, y to the front) as rows from the front, columns from the right."""
    return plane.T[::-1, ::-1]
