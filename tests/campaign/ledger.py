"""What was tried and what came out of it: on disk at once, so that a campaign that was stopped goes on."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import nnunetv2

import hermes_nnunet
from hermes_nnunet.core.files import write_json
from hermes_nnunet.plugin.points import PLUGIN_POINTS

FORMAT_VERSION = 1
LOST = "lost"
STUCK = "stuck"
MIXED = "mixed"
TRACEBACK = "traceback"
HANG = "hang"
EXECUTED = "code executed"
OUTSIDE = "file outside the folders"
LEFT_BEHIND = "left behind"
VERDICTS = (LOST, STUCK, MIXED, TRACEBACK, HANG, EXECUTED, OUTSIDE, LEFT_BEHIND)
# What was found: a verdict, and what shows it.
Found = tuple[str, str]


class Ledger:
    """The tries of a campaign, one a line in a file; those of another seed are forgotten.

    A try is named by its kind ("kill"), its subject ("merge, changed") and its number. Where something was found with
    other code, it is tried again.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self.seed = seed
        self._code = _fingerprint()
        self._tries: dict[tuple[str, str, int], tuple[str, list[Found]]] = {}
        self._possible: dict[tuple[str, str], int] = {}
        head = json.dumps({"format_version": FORMAT_VERSION, "seed": seed})
        lines = path.read_text().splitlines() if path.exists() else []
        if lines[:1] == [head]:
            for line in lines[1:]:
                if line.endswith("}"):  # the last one may have been cut
                    entry = json.loads(line)
                    self._tries[entry["kind"], entry["subject"], entry["number"]] = entry["code"], entry["found"]
        else:
            path.write_text(f"{head}\n")
        self._file = path.open("a")

    def possible(self, kind: str, subject: str, tries: int) -> None:
        """How many different tries there are of a subject."""
        self._possible[kind, subject] = tries

    def has(self, kind: str, subject: str, number: int) -> bool:
        code, found = self._tries.get((kind, subject, number), ("", [("", "")]))
        return not found or code == self._code

    def add(self, kind: str, subject: str, number: int, found: Sequence[Found]) -> None:
        """Write down what was found in a try; nothing, where all is well."""
        self._tries[kind, subject, number] = self._code, list(found)
        entry = {"kind": kind, "subject": subject, "number": number, "found": found, "code": self._code}
        self._file.write(f"{json.dumps(entry)}\n")
        self._file.flush()
        for verdict, text in found:
            print(f"{kind}, {subject}, {number}: {verdict}: {text}", flush=True)

    def summary(self) -> dict:
        """Counts of tries and of what was found by kind and subject, and their sums."""
        kinds: dict[str, dict[str, dict]] = {}
        for (kind, subject, _), (code, found) in self._tries.items():
            row = kinds.setdefault(kind, {}).setdefault(_row(kind, subject), {"tries": 0, "of_this_code": 0})
            row["tries"] += 1
            row["of_this_code"] += code == self._code
            for verdict in {verdict for verdict, _ in found}:
                row[verdict] = row.get(verdict, 0) + 1
        for (kind, subject), tries in self._possible.items():
            if subject in kinds.get(kind, {}):
                kinds[kind][subject]["possible"] = tries
        totals = {kind: sum((Counter(row) for row in rows.values()), Counter()) for kind, rows in kinds.items()}
        return {
            "format_version": FORMAT_VERSION,
            "seed": self.seed,
            "version": hermes_nnunet.__version__,
            "code": self._code,
            "tries_by_code": dict(Counter(code for code, _ in self._tries.values()).most_common()),
            "totals": {
                kind: {name: row[name] for name in ("tries", "of_this_code", *VERDICTS)} for kind, row in totals.items()
            },
            "subjects": kinds,
        }

    def write(self, path: Path) -> None:
        write_json(self.summary(), path)


def _row(kind: str, subject: str) -> str:
    """Attacks are many, each tried once: one row for those of one place, all images, and all links."""
    if kind != "hostile":
        return subject
    place = re.split("[:,]", subject)[0].rpartition(" as ")[2]
    return next((sort for sort in ("link", "image") if place.startswith(f"{sort} ") and " of " not in place), place)


def _fingerprint() -> str:
    """Of the code under test: the package, and what of ours lies inside nnU-Net's."""
    folders = [point.inside(Path(nnunetv2.__file__).parent) for point in PLUGIN_POINTS]
    digest = hashlib.sha256()
    for folder in (Path(hermes_nnunet.__file__).parent, *folders):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
