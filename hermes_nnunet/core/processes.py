"""The same function on many items, in parallel and with a progress bar."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from tqdm import tqdm

from hermes_nnunet.core.shortages import FEWER_PROCESSES
from hermes_nnunet.errors import HermesError

_MOST_DEFAULT_PROCESSES = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores that this process may use: those of its affinity (taskset, SLURM), where the system knows one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_processes() -> int:
    """One process a core, within reason."""
    return min(_MOST_DEFAULT_PROCESSES, available_cores())


def map_cases(
    function: Callable[[Item], Result],
    cases: Sequence[Item],
    processes: int,
    description: str,
    *,
    when_one_died: str = FEWER_PROCESSES,
) -> list[Result]:
    """`function` of every case, in their order, with a progress bar; both must be such that they can be pickled.

    Args:
        when_one_died: what the user should do then.

    Raises:
        HermesError: a process died, for example because memory ran out.
    """
    with tqdm(total=len(cases), desc=description, unit="case", disable=not cases) as progress:
        if processes == 1 or len(cases) < 2:
            results = []
            for case in cases:
                results.append(function(case))
                progress.update()
            return results
        return _in_processes(function, cases, min(processes, len(cases)), progress, when_one_died)


def _in_processes(
    function: Callable[[Item], Result], cases: Sequence[Item], processes: int, progress: "tqdm[Any]", when_one_died: str
) -> list[Result]:
    # A forked process would inherit the threads of whatever this one has loaded.
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    try:
        futures = [executor.submit(function, case) for case in cases]
        for future in as_completed(futures):
            future.result()
            progress.update()
        return [future.result() for future in futures]
    except (BrokenProcessPool, MemoryError):
        raise HermesError(
            f"one of {processes} processes died while {progress.desc.lower()}, most likely because memory ran out: "
            f"{when_one_died}"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this process, which multiprocessing started, end when its parent is killed, instead of working for nobody."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_children() -> None:
    """Kill the processes that this one has started with multiprocessing, before it exits without its usual end."""
    for process in multiprocessing.active_children():
        process.kill()
