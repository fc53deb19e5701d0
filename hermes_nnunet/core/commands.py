"""Commands as processes of their own, with their output in a log file."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hermes_nnunet.errors import HermesError

_LAST_LINES = 15

# For trainings on the CPU under Linux: glibc gives the memory of every large tensor back to the system and takes it
# anew, page by page, which is a third of a training step. Other systems do not know the variable.
KEEP_FREED_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184"
    ":glibc.malloc.trim_threshold=17179869184"
}


def find_commands(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Paths of the commands that an installation has put into `folder`.

    Raises:
        HermesError: one is missing.
    """
    found = {name: shutil.which(name, path=str(folder)) for name in names}
    for name, path in found.items():
        if path is None:
            raise HermesError(
                f"the command {name} is not in {folder}: run 'pip install .' in a checkout of hermes_nnunet with the "
                f"Python of that folder, and then the demo with it"
            )
    return {name: str(path) for name, path in found.items()}


def run_logged(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda line: None,
) -> None:
    """Run a command with its output in `log`, and show each line to `on_line` as it comes.

    Raises:
        HermesError: the command failed; its last lines and the log's name are in the message.
    """
    last_lines: deque[str] = deque(maxlen=_LAST_LINES)
    with (
        open(log, "w", encoding="utf-8") as log_file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Lines are to come when they are written, not when a buffer is full.
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            log_file.write(line)
            log_file.flush()
            if line.strip():
                last_lines.append(line.rstrip())
            on_line(line)
    if process.returncode != 0:
        shown = "".join(f"\n    {line}" for line in last_lines)
        raise HermesError(
            f"{Path(command[0]).name} failed with exit code {process.returncode}; its output is in {log} and ends "
            f"with{shown or ' nothing'}"
        )
