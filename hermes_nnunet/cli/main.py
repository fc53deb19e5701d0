"""`hermes_nnunet`: finds the command that is asked for, and turns a user's error into one line.

A command's module has `add_arguments(parser)` and `run(arguments)`, which returns the exit code. Only the module of the
command that is asked for is imported, so that help comes at once.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from hermes_nnunet.cli.parser import COMMANDS, PROGRAM, build_parser
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import escaped

PROBLEM_IN_THE_DATA = 1
WRONG_USE = 2  # argparse's own
INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 1 for a problem in the data or the file system, 2 for a wrong call.

    A fault of ours keeps its traceback, so that it can be reported.

    Raises:
        SystemExit: the call is wrong (2), or help or version was asked for (0).
        HermesError, OSError, MemoryError: only with --debug.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of names that are no text
    chosen = next((word for word in argv if not word.startswith("-")), None)
    arguments = build_parser([chosen]).parse_args(argv)
    try:
        code = import_module(COMMANDS[arguments.command].module).run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # of `hermes_nnunet ... | head`
        # At its end Python would complain about the closed output once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PROBLEM_IN_THE_DATA
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        line = str(error) if isinstance(error, HermesError) else line_of(error)
        if arguments.debug or line is None:
            raise
        print(f"{PROGRAM}: error: {escaped(line)}", file=sys.stderr)
        return WRONG_USE if isinstance(error, UsageError) else PROBLEM_IN_THE_DATA
