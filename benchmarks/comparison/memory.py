"""How much memory a training had at the end of its epochs, by its log."""

import os
import re
from pathlib import Path

MEMORY_LINE = "resident memory:"
_PAGES = Path("/proc/self/statm")


def resident_megabytes() -> float:
    """Memory of this process; 0 where the system does not tell (not Linux)."""
    if not _PAGES.is_file():
        return 0.0
    return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_of_epochs(fold_folder: Path) -> list[int]:
    """MB at the end of every epoch that the logs of a fold tell of, in the order of time."""
    logs = sorted(fold_folder.glob("training_log_*.txt"), key=lambda log: log.stat().st_mtime)
    found = (re.findall(rf"{MEMORY_LINE} (\d+) MB", log.read_text(encoding="utf-8")) for log in logs)
    return [int(megabytes) for own in found for megabytes in own]
