"""A command that is killed, or finds no room, at one of its changes of files; and what must be so then."""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from children import FAULTS, FILE_SIZE, KILL, Children, Ended
from ledger import EXECUTED, HANG, LEFT_BEHIND, LOST, MIXED, OUTSIDE, STUCK, TRACEBACK, Found, Ledger
from small_disk import PAGE, can_be_made, enlarge, small_disk, used
from subject import Subject
from subjects import SUBJECTS
from world import World

Files = Mapping[str, Any]
_UNREADABLE = "cannot be read: "
# All that a command writes is so many times what a small disk has left.
_PARTS = 8
SMALL_DISK = "small disk"
_STAGING = (".writing-", ".merging", ".before")


class Interruptions:
    """Interrupts one command at many places; what it leaves alone is read once."""

    def __init__(self, subject: Subject, world: World, children: Children) -> None:
        self._subject, self._world, self._children = subject, world, children
        self._prepare()
        self.before = self.files()
        whole = self._run(subject.run)
        if whole.code != 0:
            raise RuntimeError(f"{subject.name} fails without any interruption:\n{whole.output}")
        self.whole = self.files()
        self.changes = whole.changes
        self._written = self._sizes_of_written()
        # Limits at which files do not fit: by one byte, and by half.
        self.sizes = sorted({limit for size in self._written for limit in (size // 2, size - 1)})
        self._executed = frozenset(whole.executed)

    def _prepare(self) -> None:
        done = self._run(self._subject.prepare)
        if done.code != 0:
            raise RuntimeError(f"{self._subject.name} cannot be prepared:\n{done.output}")
        self._world.keep()

    def _run(self, action: Any, **fault: Any) -> Ended:
        return self._children.run(partial(action, self._world), **fault)

    def files(self) -> dict[str, Any]:
        """Essence of every file by path; what staging folders hold is named only."""
        found: dict[str, Any] = {}
        for folder, _, names in os.walk(self._world.root):
            for name in names:
                path = self._world.root / os.path.relpath(os.path.join(folder, name), self._world.root)
                relative = str(path.relative_to(self._world.root))
                if any(part in relative for part in _STAGING):
                    found[relative] = None
                elif path.is_symlink() and not path.exists():
                    found[relative] = os.readlink(path)
                else:
                    try:
                        essence = self._subject.essence(path)
                    except Exception as error:
                        essence = f"{_UNREADABLE}{error!r:.200}"
                    if essence is not None:
                        found[relative] = essence
        return found

    def _sizes_of_written(self) -> list[int]:
        return [
            os.path.getsize(self._world.root / name) for name, content in self.whole.items()
            if self.before.get(name) != content and not (self._world.root / name).is_symlink()
        ]  # fmt: skip

    def tries_of(self, kind: str) -> int:
        """How many different interruptions of a kind there are."""
        return _PARTS if kind == SMALL_DISK else len(self.sizes if kind == FILE_SIZE else self.changes)

    def interrupt(self, kind: str, number: int) -> list[Found]:
        """Interrupt it once, run it again, and look at both."""
        if kind == SMALL_DISK:
            return self.on_small_disk(number)
        return self.kill(number) if kind == KILL else self.shortage(kind, number)

    def kill(self, at: int) -> list[Found]:
        """Kill it before its change of this number, and run it again."""
        self._world.restore()
        ended = self._run(self._subject.run, fault=KILL, at=at)
        found = self._common(ended)
        return [*found, *self._after(f"killed before {self.changes[at]}")]

    def on_small_disk(self, parts: int) -> list[Found]:
        """Let its disk hold so many eighths of what it writes, and run it again on a larger one."""
        with small_disk(self._world.root):
            self._world.restore()
            before = used(self._world.root)
        free = sum(self._written) * parts // _PARTS // PAGE * PAGE
        with small_disk(self._world.root, before + free):
            self._world.restore()
            ended = self._run(self._subject.run)
            enlarge(self._world.root)
            return self._after_shortage(f"{free} bytes are free", ended)

    def shortage(self, fault: str, at: int) -> list[Found]:
        """Let its disk be full, read-only, or for small files only, and run it again on a good one."""
        self._world.restore()
        if fault == FILE_SIZE:
            words = f"no file above {self.sizes[at]} bytes"
            ended = self._run(self._subject.run, fault=fault, at=self.sizes[at])
        else:
            words = f"{fault} from {self.changes[at]} on"
            ended = self._run(self._subject.run, fault=fault, at=at)
        return self._after_shortage(words, ended)

    def _after_shortage(self, words: str, ended: Ended) -> list[Found]:
        found = [(verdict, f"{words}: {text}") for verdict, text in self._common(ended)]
        left = self._published()
        if ended.code == 0 and left != self._published(self.whole):
            found.append((LOST, f"{words}: the exit code is 0, but {_difference(left, self._published(self.whole))}"))
        elif ended.code != 0 and not ended.output.strip():
            found.append((LOST, f"{words}: exit code {ended.code} without a word"))
        return [*found, *self._after(words)]

    def _common(self, ended: Ended) -> list[Found]:
        return common_findings(ended, self._executed)

    def _published(self, files: Files | None = None) -> dict[str, Any]:
        files = self.files() if files is None else files
        return {name: content for name, content in files.items() if not any(part in name for part in _STAGING)}

    def _after(self, words: str) -> list[Found]:
        """What the interruption left, and what the next run makes of it."""
        found: list[Found] = []
        left = self._published()
        for name, content in left.items():
            may_differ = name.endswith(self._subject.growing) and not content.startswith(_UNREADABLE)
            if content not in (self.before.get(name), self.whole.get(name)) and not may_differ:
                found.append((MIXED, f"{words}: {name} is neither as before nor as after: {content}"))
        for name, content in self.before.items():
            if name not in left and self.whole.get(name) == content and not self._in_unit(name):
                found.append((LOST, f"{words}: {name} is gone"))
        for unit in self._subject.units:
            part, old, new = (_part(files, unit) for files in (left, self.before, self.whole))
            if part and part not in (old, new) and not self._subject.is_closed(self._world, unit):
                found.append((MIXED, f"{words}: {unit}: {_difference(part, new)}"))
        again = self._run(self._subject.again or self._subject.run)
        found += [(verdict, f"{words}, then again: {text}") for verdict, text in self._common(again)]
        if again.code != 0:
            if not again.is_hang:
                found.append((STUCK, f"{words}, then again: exit code {again.code}: {again.output[-300:]}"))
            return found
        end = self.files()
        staged = [name for name in end if name not in self._published(end) and name not in self.whole]
        if staged:
            found.append((LEFT_BEHIND, f"{words}, then again: {staged[0]}"))
        end = self._published(end)
        gone = [name for name in self.whole if name not in end]
        if gone:
            found.append((LOST, f"{words}, then again: {gone[0]} is missing"))
        elif end != self._published(self.whole):
            found.append((MIXED, f"{words}, then again: {_difference(end, self.whole)}"))
        return found

    def _in_unit(self, name: str) -> bool:
        return any(name.startswith(f"{unit}/") for unit in self._subject.units)


def common_findings(ended: Ended, usual: frozenset[str] = frozenset()) -> list[Found]:
    """What no run of any command may do; `usual` are commands that it always runs."""
    found: list[Found] = []
    if "Traceback (most recent call last)" in ended.output:
        found.append((TRACEBACK, " / ".join(ended.output.strip().splitlines()[-3:])[-400:]))
    if ended.is_hang:
        found.append((HANG, ended.output[-200:]))
    found += [(EXECUTED, command) for command in ended.executed if command not in usual][:1]
    found += [(OUTSIDE, path) for path in ended.outside[:1]]
    return found


def _part(files: Files, unit: str) -> dict[str, Any]:
    return {name: content for name, content in files.items() if name.startswith(f"{unit}/")}


def _difference(files: Files, wanted: Files) -> str:
    for name in sorted({*files, *wanted}):
        if name not in files:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is there"
        if files[name] != wanted[name]:
            return f"{name} differs"
    return "nothing differs"


def interrupt(
    ledger: Ledger,
    world: World,
    children: Children,
    *,
    kinds: Sequence[str],
    most: int | None = None,
    names: tuple[str, ...] = (),
) -> Iterator[None]:
    """Interrupt every command at every change, or at `most` of them that the seed chooses; yields after each try."""
    for subject in SUBJECTS:
        if names and not subject.name.startswith(names):
            continue
        interruptions = None
        for kind in kinds:
            if kind == SMALL_DISK and not can_be_made(world.root):
                continue
            if interruptions is None:
                interruptions = Interruptions(subject, world, children)
            count = interruptions.tries_of(kind)
            ledger.possible(kind, subject.name, count)
            for at in _chosen(count, most, f"{ledger.seed} {kind} {subject.name}"):
                if not ledger.has(kind, subject.name, at):
                    ledger.add(kind, subject.name, at, interruptions.interrupt(kind, at))
                    yield


def _chosen(count: int, most: int | None, seed: str) -> list[int]:
    return (
        sorted(random.Random(seed).sample(range(count), min(count, most))) if most is not None else list(range(count))
    )


KINDS = (KILL, *FAULTS, FILE_SIZE, SMALL_DISK)
