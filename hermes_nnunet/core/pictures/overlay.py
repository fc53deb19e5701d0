"""Contours of reference and prediction over one axial slice of a case."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.pictures.labels import PALETTE
from hermes_nnunet.core.shortages import memory_for
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = ("image", "reference", "prediction")

# Hounsfield window for soft tissue.
_CT_WINDOW = (-160.0, 240.0)

Colour = str


@dataclass(frozen=True)
class PictureCase:
    """One case to draw.

    Attributes:
        title: what stands above the row.
        image, reference, prediction: NIfTI files of the same geometry; the image has one channel. Without a reference
            (None) its panel says so, and the slice is the one that shows most of the prediction.
        labels: `labels` of the dataset.json; background and ignore are not drawn.
        modality: decides the grey-value window.
        dice: by label name, shown beside the names; may be empty.
    """

    title: str
    image: Path
    reference: Path | None
    prediction: Path
    labels: Mapping[str, int | list[int]]
    modality: str
    dice: Mapping[str, float]


def label_colours(names: Iterable[str]) -> dict[str, Colour]:
    """A colour for each name, the same wherever the name comes up again; after eight names they repeat."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(dict.fromkeys(names))}


def draw_case(axes: Sequence["Axes"], case: PictureCase, colours: Mapping[str, Colour]) -> None:
    """Draw image, image with reference and image with prediction into three axes.

    The slice is seen from the patient's feet, as radiology has it: the patient's right is on the left.

    Raises:
        HermesError: the three files differ in shape, or memory is too small for them.
    """
    with memory_for(case.image):
        _draw(axes, case, colours)


def _draw(axes: Sequence["Axes"], case: PictureCase, colours: Mapping[str, Colour]) -> None:
    image = open_image(case.image)
    voxels = image.geometry.to_ras(image.voxels())
    reference = None if case.reference is None else _label_map(case.reference, case.image, voxels.shape)
    prediction = _label_map(case.prediction, case.image, voxels.shape)
    labels = foreground_values(case.labels)
    level = best_slice(prediction if reference is None else reference, labels.values())
    spacing = image.geometry.ras_spacing
    low, high = grey_window(voxels, case.modality)
    for panel, overlay in zip(axes, (None, reference, prediction), strict=True):
        panel.imshow(
            radiological(voxels[:, :, level]), cmap="gray", vmin=low, vmax=high, aspect=spacing[1] / spacing[0]
        )
        if overlay is not None:
            draw_contours(panel, radiological(overlay[:, :, level]), labels, colours)
        mark_sides(panel)
    if reference is None:
        axes[1].text(0.5, 0.03, "not labelled", transform=axes[1].transAxes, color="white", ha="center")


def _label_map(path: Path, image: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels of a label map in canonical order."""
    label_map = open_image(path)
    voxels = label_map.geometry.to_ras(label_map.labels())
    if voxels.shape != shape:
        raise HermesError(f"{path} has {voxels.shape} voxels, its image {image} has {shape}: give files of one case")
    return voxels


def radiological(plane: np.ndarray) -> np.ndarray:
    """A canonical (x, y) plane as rows and columns: the front on top, the patient's right on the left."""
    return plane[::-1, ::-1].T


def best_slice(labels: np.ndarray, values: Iterable[Sequence[int]], axis: int = 2) -> int:
    """The slice across an axis that shows the most labels, and among those the one that shows most of them.

    A label counts as shown with a quarter of the voxels of its own largest slice. Without any labelled voxel it is the
    middle slice.

    Args:
        labels: canonical label map, (X, Y, Z).
        values: the values of each label.
    """
    slices = np.moveaxis(labels, axis, 0)
    highest = int(labels.max(initial=0))
    by_value = np.array([np.bincount(plane.ravel().astype(int), minlength=highest + 1) for plane in slices])
    counts = np.array([by_value[:, [value for value in label if value <= highest]].sum(1) for label in values])
    shares = counts / np.maximum(counts.max(1, keepdims=True), 1)
    if not shares.any():
        return len(slices) // 2
    number_shown = (shares >= 0.25).sum(0)
    return int(np.lexsort((shares.sum(0), number_shown))[-1])


def grey_window(voxels: np.ndarray, modality: str) -> tuple[float, float]:
    """Lowest and highest grey value to show: soft tissue for CT, percentiles of what is a number for all else."""
    if modality == "CT":
        return _CT_WINDOW
    numbers = voxels[np.isfinite(voxels)]
    low, high = np.percentile(numbers, (1, 99.5)) if numbers.size else (0, 1)
    return float(low), float(high)


def draw_contours(
    panel: "Axes", plane: np.ndarray, labels: Mapping[str, tuple[int, ...]], colours: Mapping[str, Colour]
) -> None:
    """Draw the contour of each label in a plane (rows, columns), in the colour of its name."""
    for name, values in labels.items():
        mask = np.isin(plane, values)
        if mask.any():
            # A frame of background closes the contour of a structure that touches the border.
            rows, columns = (np.arange(-1, size + 1) for size in plane.shape)
            panel.contour(columns, rows, np.pad(mask, 1), levels=[0.5], colors=[colours[name]], linewidths=1.6)
    panel.set(xlim=(-0.5, plane.shape[1] - 0.5), ylim=(plane.shape[0] - 0.5, -0.5))


def mark_sides(panel: "Axes", sides: Sequence[str] = ("R", "L")) -> None:
    """Write which side of the patient is on the left and on the right of a panel."""
    panel.set_axis_off()
    panel.set(xticks=[], yticks=[])  # else they are laid out, though nobody sees them
    for side, place, alignment in zip(sides, (0.03, 0.97), ("left", "right"), strict=True):
        panel.text(
            place, 0.5, side, transform=panel.transAxes, color="white", fontsize=8, ha=alignment, va="center"
        )  # fmt: skip
