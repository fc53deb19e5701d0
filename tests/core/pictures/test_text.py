"""Names are drawn as they are written, in every picture."""

import matplotlib
import nibabel
import numpy as np
import pytest
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from hermes_nnunet.collection import Member
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.overlay import PictureCase
from hermes_nnunet.core.pictures.preview import draw_preview
from hermes_nnunet.core.pictures.report import report_figure
from hermes_nnunet.core.pictures.text import draw_legend, without_formulas
from hermes_nnunet.insight.priors.picture import draw_priors
from hermes_nnunet.insight.priors.tasks import TaskOrigin
from hermes_nnunet.insight.report.figures import draw_dice_boxes, draw_learning_curves
from hermes_nnunet.insight.report.statistics import TaskDice
from hermes_nnunet.learning.training.learning_curves import Epoch, LearningCurves

# The first is no formula that matplotlib knows, so drawing it as one fails.
NAMES = (r"cost $\dose$", "$x_1^2$", "_hidden", r"a\$b", "100 % {top}")


def shown(figure):
    """All texts of a figure after it was drawn, by what they say; none is a formula."""
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert not any(text.get_parse_math() for text in texts)
    return [text.get_text() for text in texts]


@pytest.fixture
def saved(monkeypatch):
    """The figures that are written."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_a_preview():
    label_map = np.zeros((12, 12, 12), np.uint8)
    for value in range(len(NAMES)):
        label_map[2 * value + 1, 2:8, 2:8] = value + 1
    labels = [Label(name, value, (value,), "m", "#ff0000") for value, name in enumerate(NAMES, start=1)]
    figure = draw_preview(label_map, label_map, (1, 1, 1), labels, modality="CT", title="$case_1$")
    assert {*NAMES, "$case_1$"} <= set(shown(figure))


def test_a_preview_in_the_style_that_nnunet_leaves_behind():
    with matplotlib.rc_context():
        seaborn.set_theme(font_scale=2.5)
        test_a_preview()


def test_a_report(tmp_path):
    path = tmp_path / "image.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.eye(4)), path)
    labels = {"background": 0} | {name: value for value, name in enumerate(NAMES, start=1)}
    case = PictureCase("$case_1$", path, path, path, labels, "CT", {NAMES[1]: 0.5})
    texts = shown(report_figure([case]))
    assert {NAMES[0], f"{NAMES[1]}  Dice 0.50", *NAMES[2:], "$case_1$"} <= set(texts)


def test_priors(saved, tmp_path):
    tasks = [TaskOrigin(f"{name}/{name}", name, "$T_2$") for name in NAMES]
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    draw_priors(tmp_path / "priors.png", "$title_1$", tasks, vectors[:5], ("$T_2$", "_T1"), vectors[5:7])
    texts = shown(saved[0])
    assert {"$title_1$", "$T_2$", "_T1", *NAMES, *(f"{name}/{name}" for name in NAMES)} <= set(texts)
    assert texts.count("_hidden") == 2  # at its point and in the legend


def test_learning_curves_and_boxes(saved):
    member = Member("", "Dataset001_x", (), {}, None, {}, {}, ".nii.gz", 1.0)
    epochs = [Epoch(number, 0.1, 1.0, 1.0, {}, {}) for number in range(2)]
    draw_learning_curves(LearningCurves(epochs), dict.fromkeys(NAMES, member))
    assert set(NAMES) <= set(shown(saved[0]))
    dice = {name: {name: TaskDice((0.5, 0.7))} for name in NAMES}
    draw_dice_boxes(dice, {name: f"{name}!" for name in NAMES})
    assert {*NAMES, *(f"{name}!" for name in NAMES)} <= set(shown(saved[1]))


def test_letters_take_the_place_of_letters():
    figure = Figure()
    FigureCanvasAgg(figure)
    text = figure.text(0.5, 0.5, "$x$")
    as_formula = text.get_window_extent().width
    without_formulas(figure)
    assert text.get_window_extent().width > 2 * as_formula


def test_a_legend_keeps_the_order_of_its_handles():
    figure = Figure()
    FigureCanvasAgg(figure)
    handles = [Line2D([], [], color=colour) for colour in ("red", "blue")]
    legend = draw_legend(figure.subplots(), handles, ["_first", "second"], loc="center left")
    assert [text.get_text() for text in legend.get_texts()] == ["_first", "second"]
    assert [line.get_color() for line in legend.get_lines()] == ["red", "blue"]
