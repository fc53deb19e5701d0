"""`python tests/campaign`: interrupt, damage and attack every command, count what comes of it, and write the counts.

A campaign that was stopped goes on where it was, as long as seed and installed code are the same. Calls for
different parts may run beside each other.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import damage
import hostile
import interruptions
from ledger import VERDICTS, Ledger
from setting import prepare

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "campaign.json"
_PARTS = (*interruptions.KINDS, hostile.KIND, damage.KIND)
_WRITE_SECONDS = 60


def main() -> int:
    """Run what is asked for; 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="tests/campaign", description=__doc__)
    # Not `choices`: some versions of Python then want a word.
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; default: all in turn")
    parser.add_argument("--only", nargs="+", default=[], metavar="SUBJECT", help="beginnings of their names")
    parser.add_argument("--most", type=int, metavar="N", help="tries of each subject, chosen by the seed; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("campaign"), help="where to work (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop then; the next call goes on")
    arguments = parser.parse_args()
    parts = arguments.parts or list(_PARTS)
    if not set(parts) <= set(_PARTS):
        parser.error(f"there are these parts: {', '.join(_PARTS)}")
    folder = arguments.folder.absolute()
    place = folder / "-".join(parts).replace(" ", "_")
    place.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "tries.jsonl", arguments.seed)
    started = written = time.monotonic()
    for _ in _tries(parts, ledger, place, arguments.most, tuple(arguments.only)):
        now = time.monotonic()
        if now - written > _WRITE_SECONDS:
            ledger.write(arguments.results)
            written = now
        if arguments.minutes is not None and now - started > 60 * arguments.minutes:
            break
    ledger.write(arguments.results)
    totals = ledger.summary()["totals"]
    for kind, row in totals.items():
        print(f"{kind}: {', '.join(f'{count} {name}' for name, count in row.items())}")
    return 1 if any(row[verdict] for row in totals.values() for verdict in VERDICTS) else 0


def _tries(
    parts: Sequence[str], ledger: Ledger, place: Path, most: int | None, names: tuple[str, ...]
) -> Iterator[None]:
    world, children = prepare(place)
    gc.freeze()  # else each child would copy all the memory that its garbage collector has looked at
    kinds = [kind for kind in interruptions.KINDS if kind in parts]
    if kinds:
        yield from interruptions.interrupt(ledger, world, children, kinds=kinds, most=most, names=names)
    if hostile.KIND in parts:
        yield from hostile.attack(ledger, world, children, names=names)
    if damage.KIND in parts:  # the last, for it works in this process
        yield from damage.damage(ledger, world, children, most=most, names=names)


if __name__ == "__main__":
    sys.exit(main())
