"""The picture: similarity matrices in the order of clusters, and the tasks as points of a plane."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.pictures.text import draw_legend, without_formulas
from hermes_nnunet.errors import UsageError
from hermes_nnunet.insight.priors.embedding import embed
from hermes_nnunet.insight.priors.similarity import cluster_order, cluster_tree, cosine_similarity
from hermes_nnunet.insight.priors.tasks import TaskOrigin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
_PALETTES = (("tab10", 10), ("Dark2", 8))
_MARKERS = "osD^vP*Xhpd<>8"
_ROW_INCHES = 0.26
_LABELLED_POINTS = 40
_NUMBERED_ROWS = 14
_LEAST_RANGE = 0.2


def check_format(path: Path) -> None:
    """Check that a picture can have this name.

    Raises:
        UsageError: the file ending is none of FORMATS.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} does not end with {', '.join(FORMATS[:-1])} or {FORMATS[-1]}: choose one of them")


def draw_priors(
    path: Path, title: str, tasks: Sequence[TaskOrigin], task_vectors: np.ndarray, modalities: Sequence[str],
    modality_vectors: np.ndarray,
) -> None:  # fmt: skip
    """Write the picture.

    Args:
        path: ends with one of FORMATS.
        title: what stands above it.
        tasks: origin of each task.
        task_vectors: unit vectors (tasks, C).
        modalities: their names.
        modality_vectors: unit vectors (modalities, C).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side = max(4.2, 1.6 + len(tasks) * _ROW_INCHES)
    figure = Figure(figsize=(2.2 * side + 1, side + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.1, 1])
    left, right = halves
    top, bottom = right.subfigures(2, 1, height_ratios=[1.6, 1])
    colours = _colours(dict.fromkeys(task.member for task in tasks))
    _draw_matrix(
        left, cosine_similarity(task_vectors), [task.name for task in tasks], "cosine similarity of tasks",
        [colours[task.member] for task in tasks],
    )  # fmt: skip
    _draw_points(top.subplots(), tasks, task_vectors, colours)
    _draw_matrix(
        bottom,
        cosine_similarity(modality_vectors),
        modalities,
        "cosine similarity of modalities",
        ["black"] * len(modalities),
    )
    without_formulas(figure)
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix[1:].lower())


def _draw_matrix(
    figure: "Figure", similarity: np.ndarray, names: Sequence[str], title: str, colours: Sequence[str]
) -> None:
    from scipy.cluster.hierarchy import dendrogram

    tree = cluster_tree(similarity)
    order = cluster_order(tree)
    branches, matrix = figure.subplots(2, 1, height_ratios=[1, 7], sharex=True)
    branches.set_axis_off()
    branches.set_title(title, loc="left", fontweight="bold", fontsize=10)
    if tree is not None:
        dendrogram(tree, ax=branches, no_labels=True, color_threshold=0, above_threshold_color="#59636e")
    # scipy puts the leaves at 5, 15, 25, ...
    edges = np.arange(len(order) + 1) * 10
    drawn = similarity[np.ix_(order, order)].copy()
    others = drawn[~np.eye(len(drawn), dtype=bool)]
    limit = max(_LEAST_RANGE, float(np.abs(others).max(initial=0)))
    mesh = matrix.pcolormesh(edges, edges, drawn, cmap="RdBu_r", vmin=-limit, vmax=limit)
    matrix.invert_yaxis()
    middles = edges[:-1] + 5
    matrix.set_xticks(middles, [names[row] for row in order], rotation=90)
    matrix.set_yticks(middles, [names[row] for row in order])
    for labels in (matrix.get_xticklabels(), matrix.get_yticklabels()):
        for label, row in zip(labels, order, strict=True):
            label.set(color=colours[row], fontsize=8)
    if len(order) <= _NUMBERED_ROWS:
        for (row, column), cosine in np.ndenumerate(drawn):
            if row != column:
                shade = "white" if abs(cosine) > 0.6 * limit else "black"
                matrix.text(
                    middles[column], middles[row], f"{cosine:.2f}", ha="center", va="center", fontsize=7, color=shade
                )
    figure.colorbar(mesh, ax=(branches, matrix), shrink=0.6, extend="max")


def _draw_points(axes: "Axes", tasks: Sequence[TaskOrigin], vectors: np.ndarray, colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    points, (horizontal, vertical) = embed(vectors)
    modalities = list(dict.fromkeys(task.modality for task in tasks))
    markers = {modality: _MARKERS[place % len(_MARKERS)] for place, modality in enumerate(modalities)}
    for task, (x, y) in zip(tasks, points, strict=True):
        axes.plot(x, y, markers[task.modality], color=colours[task.member], markersize=8, alpha=0.85)
        if len(tasks) <= _LABELLED_POINTS:
            name = task.name.removeprefix(f"{task.member}/")
            side = 1 if x <= points[:, 0].mean() else -1  # into the picture
            axes.annotate(
                name, (x, y), (6 * side, 3), textcoords="offset points", fontsize=8, ha="left" if side > 0 else "right"
            )
    axes.margins(0.12)
    axes.set_title("tasks by member and modality", loc="left", fontweight="bold", fontsize=10)
    axes.set(xlabel=horizontal, ylabel=vertical)
    handles = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in colours.values()]
    handles += [Line2D([], [], color="#59636e", marker=marker, linestyle="") for marker in markers.values()]
    names = [*colours, *markers]
    draw_legend(axes, handles, names, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)


def _colours(members: Iterable[str]) -> dict[str, str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    palette = [to_hex(colormaps[name](shade)) for name, shades in _PALETTES for shade in range(shades)]
    return {member: palette[place % len(palette)] for place, member in enumerate(members)}
