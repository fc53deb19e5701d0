"""A segmentation at one look: three planes with contours, and a legend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.overlay import best_slice, draw_contours, grey_window, mark_sides, radiological
from hermes_nnunet.core.pictures.text import draw_legend, without_formulas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Axis that the plane lies across, and what is on the left and on the right of it.
_PLANES = (("axial", 2, ("R", "L")), ("coronal", 1, ("R", "L")), ("sagittal", 0, ("A", "P")))
_HEIGHT_INCHES = 4.0
# Of a panel, in relation to its height.
_WIDEST = 1.25
_LEGEND_INCHES = 2.6
_LEGEND_LINES = 22


def draw_preview(
    image: np.ndarray,
    label_map: np.ndarray,
    spacing: Sequence[float],
    labels: Sequence[Label],
    *,
    modality: str,
    title: str,
) -> "Figure":
    """Image and contours in the axial, coronal and sagittal slice that show most labels.

    Args:
        image: (X, Y, Z), axes to the patient's right, front and head (RAS).
        label_map: of the same shape.
        spacing: mm along these axes.
        labels: all that the label map may hold; the legend names those that it does hold.
        modality: decides the grey-value window.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = np.unique(label_map)
    shown = [label for label in labels if np.isin(label.values, values).any()]
    size = np.array(label_map.shape) * np.asarray(spacing)
    in_plane = [[side for side in range(3) if side != axis] for _, axis, _ in _PLANES]
    widths = [_HEIGHT_INCHES * min(_WIDEST, size[across] / size[up]) for across, up in in_plane]
    columns = -(-len(shown) // _LEGEND_LINES) or 1
    figure = Figure(figsize=(sum(widths) + columns * _LEGEND_INCHES, _HEIGHT_INCHES + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    *panels, legend = figure.subplots(1, 4, width_ratios=[*widths, columns * _LEGEND_INCHES])
    low, high = grey_window(image, modality)
    for panel, (name, axis, sides), (across, up) in zip(panels, _PLANES, in_plane, strict=True):
        level = best_slice(label_map, [label.values for label in shown or labels], axis)
        aspect = spacing[up] / spacing[across]
        panel.imshow(radiological(np.take(image, level, axis)), cmap="gray", vmin=low, vmax=high, aspect=aspect)
        draw_contours(
            panel,
            radiological(np.take(label_map, level, axis)),
            {label.name: label.values for label in shown},
            {label.name: label.colour for label in shown},
        )
        mark_sides(panel, sides)
        panel.set_title(name, fontsize=9)
    _draw_legend(legend, shown, title, columns)
    return without_formulas(figure)


def _draw_legend(legend: "Axes", labels: Sequence[Label], title: str, columns: int) -> None:
    from matplotlib.lines import Line2D

    legend.set_axis_off()
    draw_legend(
        legend,
        [Line2D([], [], color=label.colour, linewidth=3) for label in labels],
        [label.name for label in labels],
        title=title if labels else f"{title}\nnothing found",
        loc="center left",
        frameon=False,
        alignment="left",
        ncols=columns,
        fontsize=8,
        title_fontproperties={"weight": "bold", "size": 9},
    )
