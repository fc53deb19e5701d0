"""What all benchmarks share: timing in turns, peak memory, and a result that says on which machine it was measured."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from hermes_nnunet.core.files import write_json
from hermes_nnunet.core.versions import package_versions

RESULTS = Path(__file__).parent / "results"
FORMAT_VERSION = 1
MEGABYTE = 1e6
TABLE_WIDTH = 120

Row = Mapping[str, str | int | float]


def parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The arguments that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=int, default=repeats, help="timed repeats of each side (default: %(default)s)")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder for the result (default: %(default)s)")
    return made


class Seconds(NamedTuple):
    """How long something took, and how long it kept processors busy, on which other programs have less influence."""

    elapsed: float
    processor: float


def seconds_in_turns(
    sides: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | None = None, *, warm_up: int = 1
) -> dict[str, Seconds]:
    """Medians of the repeats of every side.

    The sides take turns, so that what else the machine does falls on all of them alike; `warm_up` rounds are not
    counted.
    """
    measured: dict[str, list[Seconds]] = {name: [] for name in sides}
    for turn in range(warm_up + repeats):
        for name, side in sides.items():
            wait_for(device)
            start, busy = time.perf_counter(), time.process_time()
            side()
            wait_for(device)
            if turn >= warm_up:
                measured[name].append(Seconds(time.perf_counter() - start, time.process_time() - busy))
    return {name: Seconds(*map(statistics.median, zip(*own, strict=True))) for name, own in measured.items()}


def median_seconds(
    sides: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | None = None, *, warm_up: int = 1
) -> dict[str, float]:
    """The elapsed ones of `seconds_in_turns`."""
    return {name: own.elapsed for name, own in seconds_in_turns(sides, repeats, device, warm_up=warm_up).items()}


def peak_megabytes(function: Callable[[], object], device: torch.device) -> float:
    """Most memory that tensors made by `function` took at one time.

    On a CPU the allocations that torch reports to its profiler are added up, which is exact and has no noise, but knows
    nothing of what libraries take for themselves.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        function()
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == torch.profiler.DeviceType.CPU
    ]
    taken = peak = 0
    for _, change in sorted(changes, key=lambda change: change[0]):
        taken += change
        peak = max(peak, taken)
    return peak / MEGABYTE


def report(
    name: str, question: str | None, settings: Mapping[str, Any], rows: Sequence[Row], arguments: argparse.Namespace
) -> Path:
    """Print the rows as a table, write them to `name`.json with machine and versions; return the file."""
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    Console(width=max(TABLE_WIDTH, Console().width)).print(table)
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"{name}.json"
    write_json(
        {
            "format_version": FORMAT_VERSION,
            "question": " ".join((question or "").split("\n\n")[0].split()),
            "machine": machine(),
            "versions": {"python": platform.python_version(), **package_versions()},
            "settings": {"repeats": arguments.repeats, **settings},
            "rows": [dict(row) for row in rows],
        },
        path,
    )
    return path


def machine() -> dict[str, Any]:
    """What the result was measured on; the load tells how much else was running."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "load": round(os.getloadavg()[0], 1),
    }


def wait_for(device: torch.device | None) -> None:
    """Let a GPU end what it was told to do."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def _shown(value: str | int | float) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
