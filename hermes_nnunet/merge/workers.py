"""Rewriting many cases in parallel."""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from tqdm import tqdm

from hermes_nnunet.errors import HermesError
from hermes_nnunet.merge.case_rewriting import CaseFiles, rewrite_case

_MOST_DEFAULT_PROCESSES = 8


def default_processes() -> int:
    """One process a core, within reason."""
    return min(_MOST_DEFAULT_PROCESSES, os.cpu_count() or 1)


def rewrite_cases(cases: Sequence[CaseFiles], processes: int) -> list[str]:
    """Rewrite all cases with a progress bar; the problems of all of them, in their order.

    Raises:
        HermesError: a process died, for example because memory ran out.
    """
    with tqdm(total=len(cases), desc="Merging", unit="case", disable=not cases) as progress:
        if processes == 1 or len(cases) < 2:
            problems = []
            for case in cases:
                problems.append(rewrite_case(case))
                progress.update()
        else:
            problems = _in_processes(cases, min(processes, len(cases)), progress)
    return [problem for of_case in problems for problem in of_case]


def _in_processes(cases: Sequence[CaseFiles], processes: int, progress: tqdm) -> list[list[str]]:
    # A forked process would inherit the threads of whatever this one has loaded.
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        futures = [executor.submit(rewrite_case, case) for case in cases]
        for future in as_completed(futures):
            future.result()
            progress.update()
        return [future.result() for future in futures]
    except (BrokenProcessPool, MemoryError):
        raise HermesError(
            f"one of {processes} processes died while merging, most likely because memory ran out: run it again with "
            "fewer --processes; finished cases are kept"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let this process end when the merge is killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
