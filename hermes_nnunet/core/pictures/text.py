"""Names in pictures, drawn as they are written."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


def without_formulas(figure: "Figure") -> "Figure":
    """The figure, in which no text is a formula: matplotlib would take what stands between two $ for one.

    To be called when all texts are there.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)
    return figure


def draw_legend(place: Any, handles: Sequence["Artist"], names: Sequence[str], **options: Any) -> "Legend":
    """A legend with every name: matplotlib would leave out those that begin with an underscore.

    Args:
        place: axes or figure.
        handles: what is drawn before each name.
        options: of its method `legend`.
    """
    legend: Legend = place.legend(list(handles), [str(number) for number in range(len(names))], **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
    return legend
