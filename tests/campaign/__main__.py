"""`python tests/campaign`: interrupt, damage and attack every command, count what comes of it, and write the counts.

A campaign that was stopped goes on where it was, as long as seed and installed code are the same.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from children import KILL, Children
from ledger import VERDICTS, Ledger
from setting import prepare

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "campaign.json"
_WRITE_SECONDS = 60


def main() -> int:
    """Run what is asked for; 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="tests/campaign", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="kill, full, read-only, mutations, hostile; default: all")
    parser.add_argument("--only", nargs="+", default=[], metavar="SUBJECT", help="beginnings of their names")
    parser.add_argument("--most", type=int, metavar="N", help="tries of each subject, chosen by the seed; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("campaign"), help="where to work (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop then; the next call goes on")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    world, children = prepare(folder)
    from interruptions import interrupt
    ledger = Ledger(folder / "tries.jsonl", arguments.seed)
    started = written = time.monotonic()
    try:
        for _ in interrupt(ledger, world, children, most=arguments.most, kinds=tuple(arguments.parts) or (KILL,), names=tuple(arguments.only)):
            now = time.monotonic()
            if now - written > _WRITE_SECONDS:
                ledger.write(arguments.results)
                written = now
            if arguments.minutes is not None and now - started > 60 * arguments.minutes:
                break
    finally:
        ledger.write(arguments.results)
    summary = ledger.summary()
    for kind, rows in summary["subjects"].items():
        for subject, row in rows.items():
            print(kind, subject, row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
