"""Names of tasks and members as people type them."""

from collections.abc import Sequence
from difflib import get_close_matches

from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError

_NEAR = 5


def match_task(word: str, tasks: Sequence[str]) -> str:
    """The task that a word means: a name, the label in it (`liver` of `abdomen/liver`), or the only one it begins.

    Upper and lower case count as equal.

    Raises:
        HermesError: no task or several fit; the message lists those that do or are near.
    """
    return _match(word, {task: (task, label_of(task)) for task in tasks}, "task")


def match_member(word: str, members: Sequence[str]) -> str:
    """The member that a word means: a name, or the only one it begins.

    Raises:
        HermesError: no member or several fit; the message lists those that do or are near.
    """
    return _match(word, {member: (member,) for member in members}, "member")


def label_of(task: str) -> str:
    """The name of a task without its member."""
    return task.rpartition("/")[2]


def _match(word: str, spellings: dict[str, tuple[str, ...]], kind: str) -> str:
    """The name with a spelling that the word is, or else begins; a name itself comes before its other spellings."""
    wanted = word.strip().casefold()
    folded = {name: [spelling.casefold() for spelling in of_name] for name, of_name in spellings.items()}
    for found in (
        [name for name, of_name in folded.items() if of_name[0] == wanted],
        [name for name, of_name in folded.items() if wanted in of_name],
        [name for name, of_name in folded.items() if any(spelling.startswith(wanted) for spelling in of_name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise HermesError(f"'{word}' means several {kind}s: choose one of {listed(found)}")
    near = [
        name
        for near in get_close_matches(wanted, {s for of_name in folded.values() for s in of_name}, n=_NEAR)
        for name, of_name in folded.items()
        if near in of_name
    ]
    if near:
        raise HermesError(f"the model has no {kind} '{word}', the nearest are {listed(dict.fromkeys(near))}")
    raise HermesError(f"the model has no {kind} '{word}': choose one of {listed(spellings)}")
