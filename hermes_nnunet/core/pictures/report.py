"""The report: a row of pictures for each case."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.pictures.overlay import PANELS, PictureCase, draw_case, label_colours
from hermes_nnunet.core.pictures.text import draw_legend, without_formulas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = 2.6
_ROW_INCHES = 2.4
_LEGEND_INCHES = 2.0


def draw_report(rows: Sequence[PictureCase], path: str | os.PathLike[str]) -> None:
    """Write `report_figure` as a PNG.

    Raises:
        HermesError: the files of a case differ in shape.
    """
    figure = report_figure(rows)
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def report_figure(rows: Sequence[PictureCase]) -> "Figure":
    """A row a case: image, reference, prediction, and a legend with the Dice of each label.

    Raises:
        HermesError: the files of a case differ in shape.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(len(PANELS) * _PANEL_INCHES + _LEGEND_INCHES, len(rows) * _ROW_INCHES), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(rows), len(PANELS) + 1, squeeze=False, width_ratios=[_PANEL_INCHES] * len(PANELS) + [_LEGEND_INCHES]
    )
    colours = label_colours(name for row in rows for name in foreground_values(row.labels))
    for axes, row in zip(grid, rows, strict=True):
        *panels, legend = axes
        draw_case(panels, row, colours)
        _draw_legend(legend, row, colours)
    for panel, name in zip(grid[0], PANELS, strict=False):
        panel.set_title(name)
    return without_formulas(figure)


def _draw_legend(legend: "Axes", row: PictureCase, colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    legend.set_axis_off()
    names = list(foreground_values(row.labels))
    draw_legend(
        legend,
        [Line2D([], [], color=colours[name], linewidth=3) for name in names],
        [f"{name}  Dice {row.dice[name]:.2f}" if name in row.dice else name for name in names],
        title=row.title,
        loc="center left",
        frameon=False,
        alignment="left",
        title_fontproperties={"weight": "bold"},
    )
