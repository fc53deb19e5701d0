"""How long does one wait for `hermes_nnunet --help`, and for the first line of `hermes_nnunet doctor`?

Beside the start of Python itself, which no command can be faster than.

    python benchmarks/start_up.py
"""

import subprocess
import sys
from collections.abc import Callable, Sequence

from measuring import Row, median_seconds, parser, report

COMMAND = (sys.executable, "-m", "hermes_nnunet")


def until_first_line(*command: str) -> None:
    """Run a command until its first line of output is there.

    Raises:
        RuntimeError: it ended without output.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    if not line:
        msg = f"no output of {' '.join(command)}"
        raise RuntimeError(msg)


def measure(repeats: int) -> list[Row]:
    """A row for each command."""
    sides: dict[str, Callable[[], object]] = {
        "python -c pass": lambda: subprocess.run((sys.executable, "-c", "pass"), check=True),
        "hermes_nnunet --help": lambda: subprocess.run((*COMMAND, "--help"), check=True, capture_output=True),
        "hermes_nnunet doctor, first line": lambda: until_first_line(*COMMAND, "doctor"),
    }
    seconds = median_seconds(sides, repeats)
    bare = seconds["python -c pass"]
    return [{"command": name, "seconds": own, "times python's": own / bare} for name, own in seconds.items()]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/start_up.json."""
    arguments = parser(__doc__, repeats=9).parse_args(argv)
    report("start_up", __doc__, {}, measure(arguments.repeats), arguments)


if __name__ == "__main__":
    main()
