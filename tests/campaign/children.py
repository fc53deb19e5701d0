"""Actions in forked processes, which are killed, or run out of disk, at a chosen change of a file."""

import errno
import gc
import io
import json
import multiprocessing.context
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from file_changes import changed_path
from inline_pool import PoolOfNoProcess

from hermes_nnunet.core.leftovers import remove_leftovers

CPU_SECONDS = 60
# On a machine that others use as well.
WALL_SECONDS = 600
_MEMORY = 24 << 30
_EXECUTIONS = frozenset({"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"})
# What a full disk still allows.
_FREEING = frozenset({"os.remove", "os.rmdir", "os.rename", "os.truncate"})

KILL = "kill"
FULL = "full disk"
READ_ONLY = "read-only"
# No file may have more bytes than this, whoever writes it: what no audit event tells of is found so.
FILE_SIZE = "file size"
FAULTS = {FULL: errno.ENOSPC, READ_ONLY: errno.EROFS}


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code, or minus the signal that ended it.
        output: what it printed.
        changes: files that it changed, or would have changed, in turn; of processes that were not killed.
        outside: those of them outside the folders that it may change.
        executed: commands that it ran.
    """

    code: int
    output: str
    changes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    executed: tuple[str, ...] = ()

    @property
    def is_hang(self) -> bool:
        return self.code in (-signal.SIGALRM, -signal.SIGPROF)


class Children:
    """Runs actions in forked processes; modules that one of them imports are imported here, for the next.

    Attributes:
        folder: what they may change; changes are counted there.
        others: more folders that they may change.
    """

    def __init__(self, folder: Path, *others: Path) -> None:
        self.folder = folder
        self._allowed = tuple(f"{path}/" for path in (folder, *others, "/dev"))
        self._report = folder.with_name(f"{folder.name}.report")

    def watch(self, fault: str | None = None, at: int = 0) -> "Watch":
        """An audit hook for a process that may change these folders only."""
        return Watch(str(self.folder), self._allowed, fault, at)

    def run(self, action: Callable[[], int | None], *, fault: str | None = None, at: int = 0) -> Ended:
        """Run an action with a fault.

        Args:
            at: the number of the change at which it comes, and a full or read-only disk stays so; bytes of FILE_SIZE.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        self._report.unlink(missing_ok=True)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._run_and_exit(action, writing, fault, at)
        os.close(writing)
        with open(reading, "rb") as pipe:
            text = pipe.read().decode(errors="replace")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not self._report.exists():
            return Ended(code, text)
        report = json.loads(self._report.read_text())
        for module in report.pop("modules"):
            with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                import_module(module)
        return Ended(code, text, *(tuple(report[name]) for name in ("changes", "outside", "executed")))

    def _run_and_exit(self, action: Callable[[], int | None], output: int, fault: str | None, at: int) -> None:
        code = 70
        watch = self.watch(fault, at)
        try:
            for stream in (1, 2):
                os.dup2(output, stream)
            # Those of this process remember what they wrote to.
            sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115
            _set_up_forked()
            if fault == FILE_SIZE:
                resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
            modules = set(sys.modules)
            sys.addaudithook(watch.see)
            try:
                code = action() or 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
                if isinstance(error.code, str):  # Python prints it
                    print(error.code, file=sys.stderr)
            except BaseException:
                traceback.print_exc()
            watch.is_over = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            sys.stdout.flush()
            sys.stderr.flush()
            imported = sorted(name for name in set(sys.modules) - modules if not name.startswith("__"))
            content = {
                "modules": imported,
                **{name: getattr(watch, name) for name in Ended.__annotations__ if name in vars(watch)},
            }
            self._report.write_text(json.dumps(content))
        finally:
            os._exit(code)


class Watch:
    """An audit hook that counts changes and brings the fault."""

    def __init__(self, folder: str, allowed: tuple[str, ...], fault: str | None = None, at: int = 0) -> None:
        self.changes: list[str] = []
        self.outside: list[str] = []
        self.executed: list[str] = []
        self.is_over = False
        self._folder, self._allowed, self._fault, self._at = folder, allowed, fault, at

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Begin anew, and look at this block only."""
        for seen in (self.changes, self.outside, self.executed):
            seen.clear()
        self.is_over = False
        try:
            yield
        finally:
            self.is_over = True

    def see(self, event: str, arguments: tuple) -> None:
        if self.is_over:
            return
        if event in _EXECUTIONS:
            self.executed.append(f"{event} {arguments[0]!r:.200}")
            return
        path = changed_path(event, arguments)
        if path is None:
            return
        if os.path.isabs(path) and not f"{os.path.normpath(path)}/".startswith(f"{self._folder}/"):
            is_there = event == "os.mkdir" and os.path.isdir(path)
            if not is_there and not f"{os.path.normpath(path)}/".startswith(self._allowed):
                self.outside.append(f"{event} {path}")
            return
        number = len(self.changes)
        self.changes.append(f"{event} {os.path.relpath(path, self._folder) if os.path.isabs(path) else path}")
        if self._fault in (None, FILE_SIZE) or number < self._at:
            return
        if self._fault == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == READ_ONLY or event not in _FREEING:
            code = FAULTS[self._fault]
            raise OSError(code, os.strerror(code), path)


def limit_memory() -> None:
    """Let requests for more memory than anything here needs fail at once."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _set_up_forked() -> None:
    limit_memory()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(name, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    gc.disable()  # all that it looks at would be copied
    multiprocessing.context.BaseContext.Pool = PoolOfNoProcess  # type: ignore[method-assign]
    remove_leftovers.cache_clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # a forked process has none of the other threads
