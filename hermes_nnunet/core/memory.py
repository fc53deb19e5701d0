"""How much memory a process may take, and may still take."""

import os
from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory(proc: Path = _PROC, groups: Path = _GROUPS) -> int | None:
    """Bytes that the machine and the limits of the job (cgroup v2: SLURM, containers) leave; None where unknown.

    Args:
        proc: where the system shows its processes.
        groups: where it shows control groups.
    """
    found = [amount for amount in (_of_machine(proc), *map(_left_in, _own_groups(proc, groups))) if amount is not None]
    return min(found, default=None)


def total_memory(proc: Path = _PROC, groups: Path = _GROUPS) -> int | None:
    """Bytes of all memory that the machine has and the job may have; None where the system does not say.

    Args:
        proc: as above.
        groups: as above.
    """
    try:
        of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limits = (_number_in(group / "memory.max") for group in _own_groups(proc, groups))
    return min(amount for amount in (of_machine, *limits) if amount is not None and amount > 0)


def _of_machine(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _own_groups(proc: Path, groups: Path) -> list[Path]:
    """This process's group, and each group around it."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    group = groups / own
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(groups)]


def _left_in(group: Path) -> int | None:
    most, present = _number_in(group / "memory.max"), _number_in(group / "memory.current")
    return None if most is None or present is None else most - present


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no limit is the word "max"
        return None
