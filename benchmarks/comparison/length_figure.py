"""The figure of the comparison's result against the length of the training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.tables import mean_of_pairs, over_seeds
from hermes_nnunet.core.files import written_beside

# Of each fold.
STYLES = ("-", "--", ":")
MARKERS = ("o", "s", "^")
AXES = ("mean Dice on held-out cases", "HD95, mm")


def lines(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[int, tuple[float, float]]]:
    """Mean Dice and HD95 (mm) over seeds: (arm, fold) -> n -> the two, n in order."""
    points: dict[tuple[str, int], dict[int, list[dict[str, Any]]]] = {}
    for row in rows:
        points.setdefault((row["arm"], row["fold"]), {}).setdefault(row["batches_per_member"], []).append(row)
    return {
        line: {length: mean_of_pairs(over_seeds(own)[0]) for length, own in sorted(of_line.items())}
        for line, of_line in points.items()
    }


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Dice and HD95 against n, a line an arm and fold; seeds as points."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    both = figure.subplots(1, 2)
    drawn = lines(rows)
    arms = list(dict.fromkeys(arm for arm, _ in drawn))
    for (arm, fold), points in drawn.items():
        colour = colormaps["tab10"](arms.index(arm) % 10)
        for place, axes in enumerate(both):
            of_line = [pair[place] for pair in points.values()]
            label = f"{arm}, fold {fold}"
            axes.plot(list(points), of_line, color=colour, linestyle=STYLES[fold], marker=MARKERS[fold], label=label)
    for row in rows:
        colour = colormaps["tab10"](arms.index(row["arm"]) % 10)
        for axes, value in zip(both, over_seeds([row])[0][0], strict=True):
            axes.plot(row["batches_per_member"], value, color=colour, marker=".", alpha=0.5)
    lengths = sorted({row["batches_per_member"] for row in rows})
    for axes, label in zip(both, AXES, strict=True):
        axes.set(xscale="log", xlabel="n: batches of a single model", ylabel=label)
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    with written_beside(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
