"""Names, links, models and zips that would run code or write elsewhere, each met by the commands that read it."""

import os
import shutil
from collections.abc import Iterator
from functools import partial

from children import Children
from hostile_links import attacks_by_links
from hostile_models import attacks_by_models, attacks_by_zips
from hostile_names import attacks_by_files, attacks_by_names
from interruptions import common_findings
from ledger import EXECUTED, LOST, OUTSIDE, Found, Ledger
from planting import CANARY, Attack
from world import World

KIND = "hostile"
_MINE = "not yours"


def attacks() -> list[Attack]:
    """All of them, always in this order."""
    return [
        attack
        for of in (attacks_by_names, attacks_by_files, attacks_by_links, attacks_by_models, attacks_by_zips)
        for attack in of()
    ]


def attack(
    ledger: Ledger, world: World, children: Children, *, every: int = 1, names: tuple[str, ...] = ()
) -> Iterator[None]:
    """Attack in every way, or in one of `every`; yields after each."""
    for one in attacks()[::every]:
        if one.name.startswith(names or "") and not ledger.has(KIND, one.name, 0):
            ledger.add(KIND, one.name, 0, attacked(one, world, children))
            yield


def attacked(one: Attack, world: World, children: Children) -> list[Found]:
    """What an attack brought about."""
    canary = world.root.with_name(CANARY)
    shutil.rmtree(canary, ignore_errors=True)
    canary.mkdir()
    (canary / "mine.txt").write_text(_MINE)
    planted = children.run(partial(one.plant, world))
    if planted.code != 0:
        raise RuntimeError(f"{one.name} cannot be planted:\n{planted.output}")
    before = sorted(os.listdir(world.root.parent))
    ended = children.run(partial(one.command, world))
    found = common_findings(ended)
    there = sorted(os.listdir(canary)) if canary.is_dir() else []
    if "code_was_run" in there:
        found.append((EXECUTED, "the command of the model"))
    kept = "mine.txt" in there and (canary / "mine.txt").read_text() == _MINE
    beside = set(os.listdir(world.root.parent)) - {*before, f"{world.root.name}.report"}
    if not kept or not {*there} <= {"mine.txt", *one.may_add} or beside:
        found.append((OUTSIDE, f"{there}, {sorted(os.listdir(world.root.parent))}"))
    if "\x1b[31m" in ended.output:
        found.append((EXECUTED, "an escape code reached the terminal"))
    if "LOST mine.txt" in ended.output:
        found.append((LOST, "what was in the output folder"))
    return found
