"""Parts of messages."""

from collections.abc import Iterable

from hermes_nnunet.file_names import did_you_mean as did_you_mean

LISTED = 10


def listed(items: Iterable[object], limit: int = LISTED) -> str:
    """The items, separated by commas; those beyond `limit` are only counted."""
    words = [str(item) for item in items]
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more


def left_out_line(tasks: Iterable[str], modality: str, remedy: str) -> str:
    """What a prediction of everything leaves out, and what brings it back."""
    return f"left out, since no {modality} was among their training images: {listed(tasks)}; {remedy} brings them back"


def problem_lines(problems: list[str], remedy: str) -> str:
    """One problem as one line; several as a count and the first of them, a line each."""
    if len(problems) == 1:
        return f"{problems[0]} ({remedy})"
    shown = problems[:LISTED]
    first = f", the first {LISTED}" if len(problems) > LISTED else ""
    return "\n  ".join([f"{len(problems)} problems in the members' files{first} ({remedy}):", *shown])
