"""The report's drawings, as images that stand in the page itself."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hermes_nnunet.collection import Member
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.pictures.text import draw_legend, without_formulas
from hermes_nnunet.insight.report.statistics import TaskDice
from hermes_nnunet.learning.training.learning_curves import Epoch, LearningCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#30363d"
_TRAIN, _VALIDATION = "#8b949e", "#30363d"
# Told apart by people who see few colours too; line styles go on where the colours end.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")
_STYLES = ("-", "--", ":", "-.")
_STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": "#8b949e",
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.hashsalt": "hermes_nnunet",  # the same page from the same model
}
_ROW_INCHES = 0.27


def as_data(figure: "Figure", image_format: str) -> str:
    """A figure as the src of an <img>.

    Args:
        figure: is drawn; names in it are no formulas.
        image_format: "svg" or "png".
    """
    without_formulas(figure)
    drawn = io.BytesIO()
    metadata = {"Date": None} if image_format == "svg" else None
    figure.savefig(drawn, format=image_format, metadata=metadata, dpi=110)
    kind = {"svg": "image/svg+xml", "png": "image/png"}[image_format]
    return f"data:{kind};base64,{base64.b64encode(drawn.getvalue()).decode('ascii')}"


def draw_learning_curves(curves: LearningCurves, members: Mapping[str, Member]) -> str:
    """Loss, and by member pseudo Dice; loss and modality accuracy by member where they are known. An <img> src."""
    import matplotlib as mpl

    epochs = curves.epochs
    has_members = any(entry.members for entry in epochs)
    with mpl.rc_context(_STYLE):
        figure = _new_figure(9.4, 6.2 if has_members else 3.3)
        panels = figure.subplots(2 if has_members else 1, 2).flatten().tolist()
        titles = ("loss", "pseudo Dice by member", "validation loss by member", "modality accuracy by member")
        for panel, title in zip(panels, titles, strict=False):
            panel.set_title(title)
            panel.set_xlabel("epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        whole, dice, *by_member = panels
        _plot(whole, epochs, (entry.train_loss for entry in epochs), label="training", color=_TRAIN)
        _plot(whole, epochs, (entry.validation_loss for entry in epochs), label="validation", color=_VALIDATION)
        whole.legend(frameon=False)
        for place, (name, member) in enumerate(members.items()):
            style = _STYLES[place // len(_COLOURS) % len(_STYLES)]
            line = {"color": _COLOURS[place % len(_COLOURS)], "linestyle": style}
            means = (mean_of_defined(_number(entry.dice.get(task)) for task in member.tasks) for entry in epochs)
            _plot(dice, epochs, means, **line)
            for panel, attribute in zip(by_member, ("loss", "modality_accuracy"), strict=False):
                _plot(panel, epochs, (getattr(entry.members.get(name), attribute, None) for entry in epochs), **line)
        for panel in (dice, *by_member[1:]):
            panel.set_ylim(-0.02, 1.02)
        draw_legend(figure, dice.get_lines(), list(members), loc="outside lower center", ncols=4, frameon=False)
        return as_data(figure, "svg")


def draw_dice_boxes(members: Mapping[str, Mapping[str, TaskDice]], short_names: Mapping[str, str]) -> str:
    """A box of every task's Dice over cases, members one under the other; an <img> src.

    Args:
        members: by member and task.
        short_names: how a task is called under its member.
    """
    import matplotlib as mpl

    rows = [(member, task, dice) for member, tasks in members.items() for task, dice in tasks.items()]
    gaps = _places(rows)
    with mpl.rc_context(_STYLE):
        figure = _new_figure(9.4, (gaps[-1] + 2.7) * _ROW_INCHES + 0.4)
        axes = figure.subplots()
        for place, (member, _, dice) in zip(gaps, rows, strict=True):
            colour = _COLOURS[list(members).index(member) % len(_COLOURS)]
            axes.boxplot(
                [dice.values], positions=[place], orientation="horizontal", widths=0.62, showfliers=False,
                patch_artist=True, manage_ticks=False,
                boxprops={"facecolor": colour, "alpha": 0.25, "edgecolor": colour},
                medianprops={"color": colour, "linewidth": 2},
                whiskerprops={"color": colour}, capprops={"color": colour},
            )  # fmt: skip
            axes.plot(dice.values, [place] * dice.cases, "o", color=colour, markersize=2.6, alpha=0.7, clip_on=False)
        for member in members:
            first = next(place for place, row in zip(gaps, rows, strict=True) if row[0] == member)
            axes.text(0, first - 0.9, member, fontweight="bold", va="center")
        axes.set_yticks(gaps, [short_names[task] for _, task, _ in rows])
        axes.grid(axis="y", visible=False)
        axes.set(xlim=(-0.01, 1.01), ylim=(gaps[-1] + 0.7, -1.5), xlabel="Dice")
        return as_data(figure, "svg")


def _places(rows: Sequence[tuple[str, str, TaskDice]]) -> list[float]:
    """Where each row stands: one apart, and a line for the member's name between members."""
    places: list[float] = []
    for index, (member, _, _) in enumerate(rows):
        step = 1.0 if index and rows[index - 1][0] == member else 2.0
        places.append(places[-1] + step if places else 0.0)
    return places


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plot(axes: "Axes", epochs: Sequence[Epoch], values: Iterable[float | None], **line: Any) -> None:
    points = [(entry.epoch, value) for entry, value in zip(epochs, map(_number, values), strict=True)]
    defined = [point for point in points if not math.isnan(point[1])]  # a member may have no patch in an epoch
    axes.plot(*zip(*defined, strict=True) if defined else ([], []), marker="o", markersize=2.5, **line)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
