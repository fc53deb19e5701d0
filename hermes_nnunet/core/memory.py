"""How much memory a process may still take."""

from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory(proc: Path = _PROC, groups: Path = _GROUPS) -> int | None:
    """Bytes that the machine and the limits of the job (cgroup v2: SLURM, containers) leave; None where unknown.

    Args:
        proc: where the system shows its processes.
        groups: where it shows control groups.
    """
    found = [amount for amount in (_of_machine(proc), *_of_groups(proc, groups)) if amount is not None]
    return min(found, default=None)


def _of_machine(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _of_groups(proc: Path, groups: Path) -> list[int | None]:
    """What the limit of this process's group, and of each group around it, leaves."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    group = groups / own
    return [_left_in(folder) for folder in (group, *group.parents) if folder.is_relative_to(groups)]


def _left_in(group: Path) -> int | None:
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit is the word "max"
        return None
