"""From what a person asks for to workers that wait for cases."""

import asyncio
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_nnunet.core.cluster.cluster import Cluster, Connection
from hermes_nnunet.core.cluster.wish import ClusterWish, Jobs, LocalWorkers, RunningScheduler
from hermes_nnunet.core.processes import available_cores
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.core.yaml_files import read_yaml
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted

if TYPE_CHECKING:
    from distributed import SpecCluster

CONNECT_S = 10
_DASHBOARD = "127.0.0.1:8787"
# How often ended workers are replaced.
_REPLACE_S = 20.0
# Threads of numerical libraries: of each process of a local cluster, together as many as the machine has cores.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# dask-jobqueue's classes, by the names that they have in its configuration.
_CLASSES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
    "local": "LocalCluster",
}
_REMEDY = "write it as dask-jobqueue's documentation says (docs/cluster.md has examples)"


@contextmanager
def opened(wish: ClusterWish, *, threads: int = 1) -> Iterator[Cluster]:
    """The workers that are wished for; those of this machine and jobs begin with the first case and end with the block.

    Args:
        threads: of each worker of this machine, where it may have several cases at a time.

    Raises:
        HermesError: a package is missing, no scheduler answers at the address, or dask-jobqueue does not take the file.
    """
    check_installed(wish)
    with ExitStack() as stack:
        if isinstance(wish, RunningScheduler):
            client = stack.enter_context(_client_of(wish.address))
            yield Cluster(lambda _: Connection(client))
        elif isinstance(wish, LocalWorkers):
            yield Cluster(lambda cases: _local(wish, min(wish.workers, cases), threads, stack))
        else:
            jobs = stack.enter_context(_jobs(wish.file))
            yield Cluster(lambda cases: _scaled(jobs, min(wish.workers, cases), stack))


def _local(wish: LocalWorkers, workers: int, threads: int, stack: ExitStack) -> Connection:
    import dask.config
    from distributed import Client

    settings = {
        "distributed.nanny.pre-spawn-environ": _environment(workers),
        # dask would look at what its workers do a hundred times a second, in Python.
        "distributed.worker.profile.enabled": False,
    }
    # For the whole block, since workers that die are replaced.
    stack.enter_context(dask.config.set(settings))
    with _quiet():
        try:
            cluster = stack.enter_context(_local_workers(wish, workers, threads))
        except (RuntimeError, OSError) as error:
            cause = error.__cause__ or error
            reason = str(cause) or type(cause).__name__
            raise HermesError(
                f"a worker of this machine did not start ({reason}): run it again, or with fewer than {workers} workers"
            ) from None
        return Connection(stack.enter_context(Client(cluster)), _Replacing(cluster, workers))


def _scaled(jobs: "SpecCluster", workers: int, stack: ExitStack) -> Connection:
    from distributed import Client

    jobs.scale(workers)
    with _quiet():
        return Connection(stack.enter_context(Client(jobs)), _Replacing(jobs, workers))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what dask says of a port that is taken, or of packages of a worker, which we compare ourselves."""
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_installed(wish: ClusterWish) -> None:
    """See that the packages are there.

    Raises:
        HermesError: one is not.
    """
    for package in ("distributed", *["dask_jobqueue"] * isinstance(wish, Jobs)):
        try:
            with _keeping_interrupts():
                import_module(package)
        except ModuleNotFoundError:
            raise HermesError(
                f"{package} is not installed, which --cluster needs: pip install 'hermes-nnunet[cluster]'"
            ) from None


@contextmanager
def _keeping_interrupts() -> Iterator[None]:
    """What Ctrl-C does stays as it is: dask_jobqueue, when it is imported, has it end the process with exit code 0."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


class _Replacing:
    """Asks for workers in place of those that ended, for example at the time limit of their job."""

    def __init__(self, cluster: "SpecCluster", workers: int) -> None:
        self._cluster = cluster
        self._workers = workers
        self._next = time.monotonic() + _REPLACE_S

    def __call__(self) -> None:
        if time.monotonic() > self._next:
            self._cluster.scale(self._workers)
            self._next = time.monotonic() + _REPLACE_S


@contextmanager
def _client_of(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        # A machine that is not there, or on which nothing listens, is told at once.
        host, _, port = address.partition("://")[2].rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        # What listens may be no scheduler, for whose greeting a client waits for ever.
        asyncio.run(asyncio.wait_for(_identity(address), CONNECT_S))
        with _quiet():
            client = Client(address, timeout=CONNECT_S, name="hermes_nnunet")
    except (OSError, ValueError, OverflowError, TimeoutError, asyncio.TimeoutError) as error:
        reason = str(error) or "no answer"
        raise HermesError(f"no scheduler of dask answers at {address} ({reason}): start one, or correct it") from None
    with client:
        yield client


async def _identity(address: str) -> None:
    from distributed.core import rpc
    from distributed.security import Security

    async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
        await scheduler.identity()


def _local_workers(wish: LocalWorkers, workers: int, threads: int) -> "SpecCluster":
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.security import Security

    # Whoever reaches a scheduler without it runs code as its user, and a machine may have several users.
    security = Security.temporary()
    common: dict[str, Any] = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    options = {
        **common,
        "nthreads": threads,
        "memory_limit": None,  # as in a process pool: a large case may take what others leave
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
    }
    gpus: Sequence[Mapping[str, str]] = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in wish.gpus[:workers]]
    specification = {
        number: {"cls": Nanny, "options": {**options, "env": gpus[number] if gpus else {}}} for number in range(workers)
    }
    return SpecCluster(
        workers=specification,
        scheduler={
            "cls": Scheduler,
            "options": {**common, "port": 0, "dashboard": True, "dashboard_address": _DASHBOARD},
        },
        security=security,
        silence_logs=logging.CRITICAL,
    )


def _environment(workers: int) -> dict[str, str]:
    each = str(max(1, available_cores() // workers))
    # dask works in a thread, whose memory glibc would give back and take anew with every large array.
    arenas = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "1")}
    return {name: os.environ.get(name, each) for name in _THREADS} | arenas


def _jobs(file: Path) -> "SpecCluster":
    """The cluster that a configuration of dask-jobqueue describes, without jobs yet.

    Raises:
        HermesError: dask-jobqueue does not take it.
    """
    import dask.config

    with _keeping_interrupts():
        import dask_jobqueue
        from dask_jobqueue.local import LocalCluster

    content = read_yaml(file, _REMEDY)
    described = content.get("jobqueue") if isinstance(content, dict) else None
    if not isinstance(described, dict) or len(described) != 1:
        raise HermesError(f"{file} has no 'jobqueue:' with one system of {', '.join(_CLASSES)} in it: {_REMEDY}")
    ((system, settings),) = described.items()
    if system not in _CLASSES or not isinstance(settings, dict):
        raise HermesError(
            f"{file}: jobqueue has {quoted(str(system))}{did_you_mean(str(system), list(_CLASSES))}, no system with "
            f"settings; there are {', '.join(_CLASSES)}: {_REMEDY}"
        )
    known = set(dask.config.get(f"jobqueue.{system}"))
    unknown = [str(key) for key in settings if str(key).replace("_", "-") not in known]
    if unknown:
        raise HermesError(
            f"{file}: jobqueue.{system} has no setting {listed(map(quoted, unknown))}"
            f"{did_you_mean(unknown[0], sorted(known))}: {_REMEDY}"
        )
    cluster_class = LocalCluster if system == "local" else getattr(dask_jobqueue, _CLASSES[system])
    try:
        with dask.config.set({key: value for key, value in content.items() if key != "jobqueue"}):
            return cluster_class(**{str(key).replace("-", "_"): value for key, value in settings.items()})
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise HermesError(f"{file}: dask-jobqueue does not take it ({reason}): {_REMEDY}") from None
