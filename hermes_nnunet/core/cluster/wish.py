"""What a person says after --cluster and --gpus."""

import re
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.errors import UsageError
from hermes_nnunet.file_names import quoted

DEFAULT_JOBS = 8
EXAMPLES = "local:4, tcp://host:8786, or a file of dask-jobqueue, as slurm.yaml or slurm.yaml:16"

_LOCAL = re.compile(r"local:(?P<workers>[1-9]\d{0,3})")
_SCHEDULER = re.compile(r"(tcp|tls)://\S+:\d+")
_FILE = re.compile(r"(?P<file>.+\.ya?ml)(:(?P<jobs>[1-9]\d{0,4}))?", re.DOTALL)


@dataclass(frozen=True)
class LocalWorkers:
    """Processes of this machine.

    Attributes:
        workers: how many.
        gpus: the GPU of each worker, as CUDA_VISIBLE_DEVICES names it; empty where workers share what there is.
    """

    workers: int
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunningScheduler:
    """A scheduler of dask that somebody has started, with its workers."""

    address: str


@dataclass(frozen=True)
class Jobs:
    """Workers as jobs of a cluster.

    Attributes:
        file: dask-jobqueue's configuration.
        workers: how many at most.
    """

    file: Path
    workers: int


ClusterWish = LocalWorkers | RunningScheduler | Jobs


def cluster_wish(word: str) -> ClusterWish:
    """The wish that a word of the command line says.

    Raises:
        UsageError: it is none.
    """
    if match := _LOCAL.fullmatch(word):
        return LocalWorkers(int(match["workers"]))
    if _SCHEDULER.fullmatch(word):
        return RunningScheduler(word)
    if match := _FILE.fullmatch(word):
        return Jobs(Path(match["file"]), int(match["jobs"] or DEFAULT_JOBS))
    raise UsageError(f"--cluster {quoted(word)} is no cluster: give {EXAMPLES}")


def gpu_wish(word: str, visible: str | None) -> LocalWorkers:
    """A worker for each GPU of a list such as 0,1,2,3.

    Args:
        visible: CUDA_VISIBLE_DEVICES, by whose places the numbers count where it is set.

    Raises:
        UsageError: it is no list of numbers, names a GPU twice, or one that is not visible.
    """
    numbers = word.split(",")
    if not all(re.fullmatch(r"\d{1,3}", number) for number in numbers) or len(set(numbers)) < len(numbers):
        raise UsageError(f"--gpus {quoted(word)} is no list of GPUs: give their numbers, as 0,1,2,3")
    names = None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    if names is None:
        return LocalWorkers(len(numbers), tuple(numbers))
    for number in numbers:
        if int(number) >= len(names):
            raise UsageError(f"--gpus {word}: GPU {number} is not among those of CUDA_VISIBLE_DEVICES={visible}")
    return LocalWorkers(len(numbers), tuple(names[int(number)] for number in numbers))
